//! The one worker of a connection to a document: handles its events in order, and sends what it was too slow for.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use socketioxide::AckError;
use tokio::{sync::Notify, task::consume_budget};

use super::{
    super::{
        SocketRef,
        event_packet::EventPacket,
        event_sink::SocketEventSink,
        inbox::{InboxReceiver, Received},
        socket_end::SocketEnd,
    },
    AWARENESS_UPDATE, SYNC_STEP_1, SYNC_UPDATE, named, unnamed,
};
use crate::{
    error::{Code, Error, Result},
    hub::{CloseReason, EventSink, TokenExpiry},
    model::EventPayload,
    transport::document_session::{DocumentSession, Written},
};

/// How long a client may take to say what it has. It sends nothing of what it wrote offline otherwise, so this is long.
const SYNC_TIMEOUT: Duration = Duration::from_secs(600);

/// What a client has that the server lacks, once it has answered; `None` if it does not.
type ClientNews = Pin<Box<dyn Future<Output = Result<Option<Bytes>>> + Send>>;

pub(super) struct DocumentWorker {
    session: DocumentSession,
    socket: SocketRef,
    sink: Arc<SocketEventSink>,
    inbox: InboxReceiver,
    end: Arc<SocketEnd>,
    expiry: TokenExpiry,
    /// Notified when the client is not sent something.
    wake: Arc<Notify>,
    nesting: usize,
    /// The client was told that it may not write.
    was_refused: bool,
}

impl DocumentWorker {
    pub(super) fn new(
        session: DocumentSession,
        (socket, sink): (SocketRef, Arc<SocketEventSink>),
        (inbox, end): (InboxReceiver, Arc<SocketEnd>),
        wake: Arc<Notify>,
        nesting: usize,
    ) -> Self {
        Self {
            expiry: TokenExpiry::new(session.connection(), Duration::ZERO),
            session,
            socket,
            sink,
            inbox,
            end,
            wake,
            nesting,
            was_refused: false,
        }
    }

    /// Runs until the socket has ended and everything that it sent is handled.
    pub(super) async fn run(mut self) {
        match self.begin().await {
            Ok(news) => self.serve(news).await,
            Err(error) => self.sink.fail(&error),
        }
    }

    /// Sends what a client is sent first. Returns what the client answers.
    async fn begin(&self) -> Result<ClientNews> {
        let state_vector = self.session.document().state_vector().await?;
        let asking = self.socket.timeout(SYNC_TIMEOUT);
        let asked =
            asking.emit_with_ack::<_, BinaryAck>(SYNC_STEP_1, &BinaryArgument(&state_vector));
        if let Some(states) = self.session.document().awareness() {
            self.send(AWARENESS_UPDATE, states)?;
        }
        Ok(match asked {
            Ok(ack) => Box::pin(async move {
                match ack.await {
                    Ok(BinaryAck(update)) => Ok(Some(update)),
                    Err(AckError::Decode(_)) => Err(Error::bad_request(
                        "the ack of sync-step-1 is an update, and binary",
                    )),
                    Err(_) => Ok(None),
                }
            }),
            Err(_) => Box::pin(std::future::ready(Ok(None))), // its socket has ended
        })
    }

    async fn serve(&mut self, mut news: ClientNews) {
        let (mut ended, mut answered) = (false, false);
        let end = self.end.token().clone();
        loop {
            let missed = self.session.document().has_missed();
            let reads = !EventSink::is_behind(&*self.sink);
            let done = tokio::select! {
                biased;
                update = news.as_mut(), if !answered => {
                    answered = true;
                    self.take_news(update).await
                }
                () = end.cancelled(), if !ended => {
                    ended = true;
                    self.inbox.close();
                    Ok(())
                }
                () = self.expiry.due() => {
                    self.expiry.advance(self.session.connection());
                    Ok(())
                }
                // Sees what it has missed.
                () = self.wake.notified() => Ok(()),
                () = self.sink.drained(), if missed || !reads => self.catch_up().await,
                received = self.inbox.next(), if reads => match received {
                    Received::Packet(packet) => {
                        let handled = self.handle(packet).await;
                        consume_budget().await;
                        handled
                    }
                    Received::Quiet => Ok(()),
                    Received::Ended => return,
                }
            };
            if let Err(error) = done {
                return self.sink.fail(&error);
            }
        }
    }

    /// Stores what the client has answered.
    async fn take_news(&mut self, update: Result<Option<Bytes>>) -> Result<()> {
        let written = match update {
            Ok(Some(update)) => self.session.write_news(update).await,
            Ok(None) => return Ok(()),
            Err(error) => Err(error),
        };
        self.report(SYNC_STEP_1, None, written)
    }

    async fn catch_up(&self) -> Result<()> {
        let (updates, states) = self.session.document().missed().await?;
        for (event, content) in [(SYNC_UPDATE, updates), (AWARENESS_UPDATE, states)] {
            if let Some(content) = content {
                self.send(event, content)?;
            }
        }
        Ok(())
    }

    /// Handles an event.
    ///
    /// # Errors
    /// The connection cannot go on. The client keeps what it has, and sends it again when it has connected again.
    async fn handle(&mut self, mut packet: EventPacket) -> Result<()> {
        let attachments = packet.attachments.take();
        let arguments = match packet.arguments(self.nesting) {
            Ok(arguments) => arguments,
            Err(error) => return self.report("", packet.ack, Err(error)),
        };
        let event = &*arguments.event;
        let argument = attachments.and_then(|mut attached| match attached.len() {
            1 => attached.pop_front(),
            _ => None,
        });
        let Some(argument) = argument else {
            let error = Error::bad_request("events of documents have one binary argument");
            return self.report(event, packet.ack, Err(error));
        };
        let document = self.session.document();
        let written = match event {
            SYNC_STEP_1 => {
                let missing = match document.missing(argument).await {
                    Ok(missing) => missing,
                    Err(error) => return self.report(event, packet.ack, Err(error)),
                };
                return match packet.ack {
                    Some(ack) => self
                        .sink
                        .push_charged(self.sink.ack_frame(ack, &unnamed(missing))),
                    None => self.send(SYNC_UPDATE, missing),
                };
            }
            SYNC_UPDATE => self.session.write(argument).await,
            AWARENESS_UPDATE => {
                let shown = document.set_awareness(&argument).await;
                shown.map(|()| Written::Stored)
            }
            _ => Err(Error::new(
                Code::NotFound,
                format!(
                    "a document has {SYNC_STEP_1}, {SYNC_UPDATE} and {AWARENESS_UPDATE}, and no other events"
                ),
            )),
        };
        self.report(event, packet.ack, written)
    }

    /// Tells the client what became of an event: by its ack, or by an `error` event if it asked for none and the event failed.
    ///
    /// # Errors
    /// The connection cannot go on.
    fn report(&mut self, event: &str, ack: Option<i64>, written: Result<Written>) -> Result<()> {
        let error = match written {
            Ok(Written::Stored) => {
                if let Some(ack) = ack {
                    self.sink.acknowledge_payload(ack, &EventPayload::ok());
                }
                return Ok(());
            }
            Ok(Written::Forbidden) if ack.is_none() && self.was_refused => return Ok(()),
            Ok(Written::Forbidden) => {
                self.was_refused = true;
                self.session.refusal()
            }
            Err(error) if matches!(error.code(), Code::Unavailable | Code::Internal) => {
                return Err(error);
            }
            Err(error) => {
                self.sink.count_error(&error);
                error
            }
        };
        match ack {
            Some(ack) => self.sink.acknowledge_failure(ack, &error),
            None => self.sink.send_error(event, None, &error),
        }
        Ok(())
    }

    /// Sends an event, which may have a whole document.
    fn send(&self, event: &str, content: Bytes) -> Result<()> {
        let frame = self.sink.payload_frame(&named(event, content));
        self.sink.push_charged(frame)
    }
}

impl SocketEventSink {
    /// Closes the connection of a client that is to come again.
    pub(super) fn fail(&self, error: &Error) {
        self.count_error(error);
        tracing::debug!(%error, "closing a client of documents");
        self.close(CloseReason::Unavailable);
    }
}

/// The one binary argument of an event.
struct BinaryArgument<'a>(&'a [u8]);

impl Serialize for BinaryArgument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// An ack whose first argument is binary.
struct BinaryAck(Bytes);

impl<'de> Deserialize<'de> for BinaryAck {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

struct BytesVisitor;

impl de::Visitor<'_> for BytesVisitor {
    type Value = BinaryAck;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<BinaryAck, E> {
        Ok(BinaryAck(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<BinaryAck, E> {
        Ok(BinaryAck(bytes.into()))
    }
}
