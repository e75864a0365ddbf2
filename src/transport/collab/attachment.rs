//! A document that a client has open, at the address that the client gave it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::Client;
use crate::{
    documents::{
        DocumentEvent, DocumentProtocol, DocumentSink, Message, ServerMessage, SyncMessage,
    },
    error::{Error, Result},
    hub::{ClientState, CloseReason, Drained, EventSink, OutgoingEvent, PendingReply, TokenExpiry},
    limits::Account,
    sync::lock,
    transport::{
        document_session::DocumentSession,
        wire::{Frame, binary_frame},
    },
};

/// A document that a client has open.
pub(super) struct Attachment {
    pub(super) session: DocumentSession,
    pub(super) sink: Arc<AttachmentSink>,
    pub(super) expiry: TokenExpiry,
    /// What large messages are charged to until they are sent.
    pub(super) account: Arc<Account>,
}

/// Where the document's events, and those of the hub, go.
pub(super) struct AttachmentSink {
    client: Arc<Client>,
    /// The document's name, and perhaps a session's behind it.
    address: String,
    has_session: bool,
    /// Why this document is closed and the others are not.
    closed: Mutex<Option<CloseReason>>,
    /// Notified when a document is closed.
    closing: Arc<Notify>,
}

impl AttachmentSink {
    pub(super) fn new(
        client: Arc<Client>,
        address: String,
        has_session: bool,
        closing: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            address,
            has_session,
            closed: Mutex::default(),
            closing,
        })
    }

    /// Why this document is closed, if it is.
    pub(super) fn closed(&self) -> Option<CloseReason> {
        *lock(&self.closed)
    }

    /// Counts an error of the client's.
    pub(super) fn count_error(&self, error: &Error) {
        self.client.count_error(error);
    }

    /// Sends a message about the document.
    pub(super) fn send_message(&self, message: &ServerMessage<'_>) {
        self.client.send(self.frame(message));
    }

    fn frame(&self, message: &ServerMessage<'_>) -> Frame {
        Frame::of(binary_frame(&[&message.encode(&self.address)]))
    }
}

impl DocumentSink for AttachmentSink {
    fn is_behind(&self) -> bool {
        EventSink::is_behind(&*self.client)
    }

    fn send(&self, event: &DocumentEvent) {
        let encode = |message: Message<'_>| self.encode(message);
        let frame = match self.has_session {
            true => encode(event.message()),
            // The address is the document's name: all clients are sent the same.
            false => event.encoded(DocumentProtocol::Hocuspocus, encode),
        };
        self.client.send(Frame::of(frame));
    }
}

impl AttachmentSink {
    fn encode(&self, message: Message<'_>) -> Bytes {
        let message = match message {
            Message::Sync(sync) => ServerMessage::Sync(sync),
            Message::Awareness(states) => ServerMessage::Awareness(states),
            Message::PermissionDenied(_) | Message::QueryAwareness => return Bytes::new(),
        };
        binary_frame(&[&message.encode(&self.address)])
    }
}

/// The hub has no events for such a client.
impl EventSink for AttachmentSink {
    fn push(&self, _: &OutgoingEvent) {}

    fn push_with_reply(&self, _: &OutgoingEvent, _: Duration) -> Option<PendingReply> {
        None
    }

    fn client(&self) -> ClientState {
        self.client.client()
    }

    fn is_behind(&self) -> bool {
        EventSink::is_behind(&*self.client)
    }

    fn drained(&self) -> Drained {
        self.client.drained()
    }

    fn close(&self, reason: CloseReason) {
        if matches!(reason, CloseReason::Draining | CloseReason::Slow) {
            return EventSink::close(&*self.client, reason);
        }
        lock(&self.closed).get_or_insert(reason);
        self.closing.notify_one();
    }
}

impl Attachment {
    /// Sends what the client was too slow for.
    pub(super) async fn catch_up(&self) -> Result<()> {
        let (updates, states) = self.session.document().missed().await?;
        if let Some(updates) = updates {
            self.send_updates(&updates)?;
        }
        if let Some(states) = states {
            self.send(&ServerMessage::Awareness(&states));
        }
        Ok(())
    }

    /// Sends what the client lacks, which may be a whole document.
    pub(super) fn send_updates(&self, updates: &[u8]) -> Result<()> {
        let message = ServerMessage::Sync(SyncMessage::Step2(updates));
        let frame = self.sink.frame(&message);
        self.sink.client.send_charged(frame, &self.account)
    }

    pub(super) fn send(&self, message: &ServerMessage<'_>) {
        self.sink.send_message(message);
    }
}
