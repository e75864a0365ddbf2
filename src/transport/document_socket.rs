//! The WebSocket of a client of documents, whatever protocol it speaks: reads its messages, sends what it was too slow for, keeps it
//! alive, and closes it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::{
    task::consume_budget,
    time::{Instant, sleep_until},
};
use tokio_tungstenite::tungstenite::Message as WebSocketMessage;

use super::{
    WebSocketSettings,
    client_socket::{ClientSocket, ClosedBy, Heartbeat, close_for},
    close_codes,
    framed_client::{FramedClient, Framing},
    wire::Frame,
};
use crate::{
    error::{Code, Error, Result},
    hub::{CloseReason, EventSink, track_idle},
};

/// How often a client is sent something at least: the clients of both protocols take 30 s of silence for the end of the connection.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// Awareness states of nobody.
pub(super) const NOBODY: &[u8] = &[0];

/// What a protocol makes of a client's messages.
pub(super) trait DocumentProtocolTask: Send {
    /// Handles a message.
    ///
    /// # Errors
    /// The connection cannot go on. The client keeps what it has, and sends it again when it has connected again.
    fn receive(&mut self, message: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Whether the client was not sent something because it was behind.
    fn has_missed(&self) -> bool;

    /// Sends that.
    ///
    /// # Errors
    /// As those of [`receive`](Self::receive).
    fn catch_up(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Ready when [`advance`](Self::advance) is to be called, or the client was not sent something.
    fn due(&self) -> impl Future<Output = ()> + Send;

    /// Does what is due, if anything: a token has expired, a document was closed.
    ///
    /// # Errors
    /// As those of [`receive`](Self::receive).
    fn advance(&mut self) -> Result<()>;

    /// Sends something that changes nothing.
    fn keep_alive(&self);
}

/// Serves a client until one side closes the connection.
pub(super) async fn serve<F: Framing>(
    mut task: impl DocumentProtocolTask,
    client: &Arc<FramedClient<F>>,
    settings: &WebSocketSettings,
    socket: &mut ClientSocket,
) -> ClosedBy {
    let mut heartbeat = Heartbeat::new(settings);
    let (mut idle, mut silence) = (false, Instant::now() + LONGEST_SILENCE);
    loop {
        let reads = !client.is_behind();
        if !reads {
            heartbeat.reset();
        }
        let due = heartbeat.due();
        let done = tokio::select! {
            biased;
            () = client.closing() => return ClosedBy::Server,
            () = task.due() => task.advance(),
            () = client.drained(), if !reads || task.has_missed() => task.catch_up().await,
            next = track_idle(&mut idle, socket.next()), if reads => {
                heartbeat.reset();
                match next {
                    Some(Ok(message)) => {
                        let handled = receive(&mut task, message).await;
                        consume_budget().await;
                        handled
                    }
                    Some(Err(error)) => return close_for(client, &error),
                    None => return ClosedBy::Client,
                }
            }
            () = sleep_until(silence) => {
                silence = Instant::now() + LONGEST_SILENCE;
                task.keep_alive();
                Ok(())
            }
            () = sleep_until(due), if reads => match heartbeat.beat(client) {
                true => Ok(()),
                false => return ClosedBy::Client,
            }
        };
        if let Err(error) = done {
            fail(client, &error);
            return ClosedBy::Server;
        }
    }
}

async fn receive(task: &mut impl DocumentProtocolTask, message: WebSocketMessage) -> Result<()> {
    match message {
        WebSocketMessage::Binary(message) => Box::pin(task.receive(message)).await,
        WebSocketMessage::Text(_) => Err(Error::bad_request("messages of documents are binary")),
        WebSocketMessage::Ping(_)
        | WebSocketMessage::Pong(_)
        | WebSocketMessage::Close(_)
        | WebSocketMessage::Frame(_) => Ok(()),
    }
}

/// Closes a connection for an error.
pub(super) fn fail<F: Framing>(client: &FramedClient<F>, error: &Error) {
    client.count_error(error);
    let (reason, code) = match error.code() {
        Code::TooLarge => (CloseReason::TooLarge, close_codes::TOO_LARGE),
        Code::BadRequest => (CloseReason::Malformed, close_codes::PROTOCOL),
        code @ (Code::Unauthorized | Code::TokenExpired) => {
            (CloseReason::Refused(code), close_codes::UNAUTHORIZED)
        }
        code @ Code::Forbidden => (CloseReason::Refused(code), close_codes::FORBIDDEN),
        _ => (CloseReason::Failed, close_codes::TRY_AGAIN),
    };
    tracing::debug!(%error, "closing a client of documents");
    client.count_close(reason.as_str());
    let last = Frame::close(F::close_code(code), &error.to_string());
    client.close_with(Some(last), true);
}
