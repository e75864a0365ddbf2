//! What the clients of a document are sent.

use std::sync::OnceLock;

use bytes::Bytes;

use super::sync_message::{Message, SyncMessage};

/// An update or awareness states, encoded once for all clients of a protocol.
pub(crate) struct DocumentEvent {
    content: Content,
    /// By protocol.
    frames: [OnceLock<Bytes>; PROTOCOLS],
}

enum Content {
    Update(Bytes),
    Awareness(Bytes),
}

/// What a client of a document speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentProtocol {
    YWebSocket,
    Hocuspocus,
    YSocketIo,
}

const PROTOCOLS: usize = 3;

/// A client of a document, as its transport presents it.
pub(crate) trait DocumentSink: Send + Sync + 'static {
    /// Whether so much is queued that updates are to be read from the store later instead of sent.
    fn is_behind(&self) -> bool;

    /// Sends something. Never blocks.
    fn send(&self, event: &DocumentEvent);
}

impl DocumentEvent {
    pub(super) fn update(update: Bytes) -> Self {
        Self::new(Content::Update(update))
    }

    pub(super) fn awareness(states: Bytes) -> Self {
        Self::new(Content::Awareness(states))
    }

    fn new(content: Content) -> Self {
        Self {
            content,
            frames: Default::default(),
        }
    }

    /// The update or the states.
    pub(crate) fn content(&self) -> &Bytes {
        match &self.content {
            Content::Update(content) | Content::Awareness(content) => content,
        }
    }

    /// Whether it is part of the document.
    pub(crate) fn is_update(&self) -> bool {
        matches!(self.content, Content::Update(_))
    }

    /// The message that carries it.
    pub(crate) fn message(&self) -> Message<'_> {
        match &self.content {
            Content::Update(update) => Message::Sync(SyncMessage::Update(update)),
            Content::Awareness(states) => Message::Awareness(states),
        }
    }

    /// How it is sent to all clients of a protocol. `encode` is called for the first of them only.
    pub(crate) fn encoded(
        &self,
        protocol: DocumentProtocol,
        encode: impl FnOnce(Message<'_>) -> Bytes,
    ) -> Bytes {
        self.frames[protocol as usize]
            .get_or_init(|| encode(self.message()))
            .clone()
    }
}
