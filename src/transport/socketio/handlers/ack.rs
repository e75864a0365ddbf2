//! The ack of an event, sent by its handler.

use std::sync::Arc;

use serde::Serialize;

use super::{HandlerError, encoding::encode_ack};
use crate::{
    error::Result, hub::PendingAnswer, model::EventPayload,
    transport::socketio::event_sink::SocketEventSink,
};

/// Sends the ack of an event, with any values. As an argument of a handler it takes the place of what the handler returns: nothing
/// is sent by itself then, and the handler may hand it to a task that acknowledges later.
///
/// ```
/// use switchboard::{AckSender, Data, Result};
///
/// async fn divide(Data((a, b)): Data<(i64, i64)>, ack: AckSender) -> Result<()> {
///     match a.checked_div(b) {
///         // `socket.emit("divide", 7, 2, (quotient, remainder) => ...)`
///         Some(quotient) => ack.send(&(quotient, a % b)),
///         None => ack.send_empty(),
///     }
/// }
/// ```
#[must_use = "the client waits for its ack"]
pub struct AckSender {
    sink: Arc<SocketEventSink>,
    /// `None`: the client asked for no ack.
    id: Option<i64>,
    /// Keeps what is sent, if the client may send the event again.
    answer: Option<PendingAnswer>,
}

impl AckSender {
    pub(in crate::transport::socketio) fn new(sink: Arc<SocketEventSink>, id: Option<i64>) -> Self {
        Self {
            sink,
            id,
            answer: None,
        }
    }

    /// Whether the client asked for an ack. Without, nothing is sent.
    pub fn is_expected(&self) -> bool {
        self.id.is_some()
    }

    /// Sends a value exactly as it is; a tuple is several values.
    ///
    /// # Errors
    /// Fails with `internal` if the value cannot be encoded.
    pub fn send<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        let payload = encode_ack(value)?;
        self.send_payload(&payload);
        Ok(())
    }

    /// Sends an ack without values.
    ///
    /// # Errors
    /// Never fails: returns what [`send`](Self::send) does.
    pub fn send_empty(self) -> Result<()> {
        self.send_payload(&EventPayload::empty());
        Ok(())
    }

    /// Sends a failure, `{ ok: false, error }`, as a handler's error does.
    pub fn fail(self, error: impl Into<HandlerError>) {
        let error: HandlerError = error.into();
        if let Some(id) = self.id {
            self.sink.acknowledge_payload(id, &error.encode());
        }
    }

    /// Keeps what is sent, but for a failure.
    pub(super) fn keep_answer(&mut self, answer: Option<PendingAnswer>) {
        self.answer = answer;
    }

    pub(in crate::transport::socketio) fn send_payload(self, payload: &EventPayload) {
        if let Some(answer) = &self.answer {
            answer.give(payload);
        }
        if let Some(id) = self.id {
            self.sink.acknowledge_payload(id, payload);
        }
    }
}
