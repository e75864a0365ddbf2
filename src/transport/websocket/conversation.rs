//! The task of one plain WebSocket: reads frames, executes requests, pings, until one side closes.

use std::sync::Arc;

use futures_util::StreamExt;
use tokio::{
    task::consume_budget,
    time::{Instant, sleep_until},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message},
};

use super::{
    Envelopes,
    replies::{EnvelopeReplySink, FrameTarget},
};
use crate::{
    error::Error,
    http::upgrade::StreamReader,
    hub::{CloseReason, Executor, Join, Request, track_idle},
    model::RoomName,
    transport::{
        WebSocketSettings,
        close_codes::{NOT_UTF8, PROTOCOL, TOO_LARGE},
        envelope,
        framed_client::FramedClient,
        message_memory::MemoryLimitedReader,
        wire::{Frame, OutboxStream},
    },
};

/// Who closed the connection.
#[derive(PartialEq, Eq)]
pub(super) enum ClosedBy {
    /// The server; the client gets a moment to read the last frame.
    Server,
    /// The client, or its network.
    Client,
}

pub(super) type ClientSocket = WebSocketStream<OutboxStream<MemoryLimitedReader<StreamReader>>>;

/// One connection's task.
pub(super) struct Conversation<'a> {
    pub(super) executor: Executor<EnvelopeReplySink>,
    /// The room of frames that name none.
    pub(super) room: Option<RoomName>,
    pub(super) client: &'a Arc<FramedClient<Envelopes>>,
    pub(super) settings: &'a WebSocketSettings,
}

impl Conversation<'_> {
    /// Joins the rooms of the URL; closes the client if one of them is refused.
    pub(super) async fn join_rooms(&mut self, joins: Vec<Join>) {
        for join in joins {
            let target = FrameTarget {
                id: None,
                room: Some(join.room.clone()),
                required: true,
            };
            self.executor.execute(target, Ok(Request::Join(join))).await;
            if self.client.is_closing() {
                return;
            }
        }
    }

    /// Executes the client's requests, frame by frame, until one side closes the connection.
    pub(super) async fn run(&mut self, socket: &mut ClientSocket) -> ClosedBy {
        let (interval, pong_timeout) = (self.settings.ping_interval, self.settings.ping_timeout);
        let (mut last_read, mut pinged, mut idle) = (Instant::now(), false, false);
        loop {
            let reads_requests = self.executor.accepts_requests();
            if !reads_requests {
                // A pong would not be read meanwhile.
                (last_read, pinged) = (Instant::now(), false);
            }
            let due = last_read
                + if pinged {
                    interval + pong_timeout
                } else {
                    interval
                };
            tokio::select! {
                biased;
                () = self.client.closing() => return ClosedBy::Server,
                () = self.executor.drive() => {}
                next = track_idle(&mut idle, socket.next()), if reads_requests => {
                    (last_read, pinged) = (Instant::now(), false);
                    if std::mem::take(&mut idle) {
                        self.executor.note_caught_up();
                    }
                    match next {
                        Some(Ok(message)) => {
                            self.handle(message).await;
                            // Many frames may have arrived at once: yield to other tasks.
                            consume_budget().await;
                        }
                        Some(Err(error)) => return self.close_for(&error),
                        None => return ClosedBy::Client,
                    }
                }
                () = sleep_until(due), if reads_requests => {
                    if pinged {
                        self.client.count_close("ping_timeout");
                        self.client.outbox().end();
                        return ClosedBy::Client;
                    }
                    self.client.send(Frame::ping());
                    pinged = true;
                }
            }
        }
    }

    async fn handle(&mut self, message: Message) {
        let (target, request) = match message {
            Message::Text(text) => {
                let frame = envelope::read(&text, self.room.as_ref());
                (FrameTarget::new(frame.id, frame.room), frame.request)
            }
            Message::Binary(_) => {
                let error = Error::bad_request("frames are text here: one JSON object each");
                (FrameTarget::new(None, None), Err(error))
            }
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return,
        };
        self.executor.execute(target, request).await;
    }

    /// Closes a client whose bytes are no valid frames.
    fn close_for(&self, error: &tungstenite::Error) -> ClosedBy {
        let (code, text) = match error {
            tungstenite::Error::Capacity(_) => (TOO_LARGE, "too_large"),
            tungstenite::Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )
            | tungstenite::Error::ConnectionClosed
            | tungstenite::Error::AlreadyClosed
            | tungstenite::Error::Io(_) => return ClosedBy::Client,
            tungstenite::Error::Utf8(_) => (NOT_UTF8, "bad_request"),
            _ => (PROTOCOL, "bad_request"),
        };
        tracing::debug!(%error, "closing a WebSocket: invalid frame");
        let reason = match code {
            TOO_LARGE => CloseReason::TooLarge,
            _ => CloseReason::Malformed,
        };
        self.client.count_close(reason.as_str());
        self.client.close_with(Some(Frame::close(code, text)), true);
        ClosedBy::Server
    }
}
