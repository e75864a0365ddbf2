//! The task of one plain WebSocket: reads frames, executes requests, pings, until one side closes.

use std::sync::Arc;

use futures_util::StreamExt;
use tokio::{task::consume_budget, time::sleep_until};
use tokio_tungstenite::tungstenite::Message;

use super::{
    Envelopes,
    replies::{EnvelopeReplySink, FrameTarget},
};
use crate::{
    error::Error,
    hub::{Executor, Join, Request, track_idle},
    model::RoomName,
    transport::{
        WebSocketSettings,
        client_socket::{ClientSocket, ClosedBy, Heartbeat, close_for},
        envelope,
        framed_client::FramedClient,
    },
};

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
        let (mut heartbeat, mut idle) = (Heartbeat::new(self.settings), false);
        loop {
            let reads_requests = self.executor.accepts_requests();
            if !reads_requests {
                // A pong would not be read meanwhile.
                heartbeat.reset();
            }
            let due = heartbeat.due();
            tokio::select! {
                biased;
                () = self.client.closing() => return ClosedBy::Server,
                () = self.executor.drive() => {}
                next = track_idle(&mut idle, socket.next()), if reads_requests => {
                    heartbeat.reset();
                    if std::mem::take(&mut idle) {
                        self.executor.note_caught_up();
                    }
                    match next {
                        Some(Ok(message)) => {
                            // Boxed: its future is larger than all that an idle connection needs.
                            Box::pin(self.handle(message)).await;
                            // Many frames may have arrived at once: yield to other tasks.
                            consume_budget().await;
                        }
                        Some(Err(error)) => return close_for(self.client, &error),
                        None => return ClosedBy::Client,
                    }
                }
                () = sleep_until(due), if reads_requests => {
                    if !heartbeat.beat(self.client) {
                        return ClosedBy::Client;
                    }
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
}
