//! Calls the application's handlers: of events, and of a connection's beginning and end.

use std::{panic::AssertUnwindSafe, task::Poll, time::Duration};

use futures_util::{FutureExt, poll};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout, timeout_at};

use super::{AckTarget, Worker};
use crate::{
    error::{Code, Error, Result},
    hub::{PendingAnswer, RequestCost},
    model::RoomName,
    retry::log_in_bursts,
    transport::socketio::{
        event_packet::{EventArguments, EventPacket},
        handlers::{
            AckSender, BoxedHandler, DisconnectReason, EventContext, EventRequest, HandlerError,
            HandlerFuture, HandlerReply,
        },
        placeholders::check_placeholders,
    },
};

/// What the application is told of a connection's beginning.
pub(in crate::transport::socketio) struct Greeting {
    /// The `auth` payload of the CONNECT.
    pub(in crate::transport::socketio) auth: Option<Box<RawValue>>,
    /// The client has resumed its session.
    pub(in crate::transport::socketio) recovered: bool,
}

/// What a handler has returned.
type Handled = Result<HandlerReply, HandlerError>;

impl Worker {
    /// Tells the application that the client has connected, before any of its events is handled, and after it has been told of the end of
    /// the connection before.
    pub(super) async fn announce_begin(&mut self, greeting: Option<Greeting>) {
        let handlers = self.namespace.handlers.clone();
        if let Some(place) = &self.place {
            // Its events and its end may take this long each.
            let longest = self.transport.hub.hooks().longest_timeout();
            let limit = self.transport.handler_timeout.max(longest) * 2;
            let ended = timeout(limit, place.predecessor_ended());
            let _ = self.executor.drive_while(ended).await;
        }
        if let (Some(handler), Some(greeting)) = (handlers.on_connect(), greeting) {
            let recovered = greeting.recovered;
            let text = match &greeting.auth {
                Some(auth) => format!(r#"["connect",{auth}]"#),
                None => r#"["connect"]"#.to_owned(),
            };
            let context = EventContext {
                recovered,
                ..self.context()
            };
            let request = self.request(context, (text.into(), None), None);
            let (_, result) = self.call("connect", handler, request).await;
            self.finish_handler(&AckTarget::of_event("connect"), (None, result));
        }
    }

    /// Tells the application that the client has disconnected; `rooms` are those that it was in.
    pub(super) async fn announce_end(&mut self, rooms: Vec<RoomName>) {
        let handlers = self.namespace.handlers.clone();
        let Some(handler) = handlers.on_disconnect() else {
            return;
        };
        let context = EventContext {
            rooms_at_end: Some(rooms.into()),
            ..self.context()
        };
        let reason = self.executor.sink().event_sink.close_reason();
        let reason = reason.map_or_else(|| self.end.reason(), DisconnectReason::Server);
        let mut request = self.request(context, (r#"["disconnect"]"#.into(), None), None);
        request.disconnect_reason = Some(reason);
        let (_, result) = self.call_until(None, "disconnect", handler, request).await;
        log_failure("disconnect", &result);
    }

    /// Calls the application's handler of an event. Returns what is to be sent as its ack, or as its error, and by whom: `None` if
    /// the handler has taken the sender of the ack.
    pub(super) async fn call_handler(
        &mut self,
        arguments: &EventArguments<'_>,
        packet: &EventPacket,
        (ack, answer): (Option<i64>, Option<PendingAnswer>),
    ) -> (Option<AckSender>, Handled) {
        if let Err(error) = self.executor.wait_turn(RequestCost::Message).await {
            return (Some(self.ack_sender(ack)), Err(error.into()));
        }
        if let Some(attachments) = &packet.attachments
            && let Err(error) = check_placeholders(arguments.values(), attachments)
        {
            return (Some(self.ack_sender(ack)), Err(error.into()));
        }
        let event = &*arguments.event;
        let handlers = self.namespace.handlers.clone();
        let Some(handler) = handlers.event(event) else {
            let error = Error::new(Code::Internal, "the handler of this event is gone");
            return (Some(self.ack_sender(ack)), Err(error.into()));
        };
        let encoded = (packet.text.clone(), packet.attachments.clone());
        let mut request = self.request(self.context(), encoded, ack);
        request.keep_answer(answer);
        self.call(event, handler, request).await
    }

    /// Calls a handler. Once the client has gone, all calls together have the time of one.
    async fn call(
        &mut self,
        event: &str,
        handler: &BoxedHandler,
        mut request: EventRequest,
    ) -> (Option<AckSender>, Handled) {
        let limit = self.transport.handler_timeout;
        let deadline = self.end.instant().map(|ended| ended + limit);
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return (request.take_ack(), Err(timed_out(event, limit).into()));
        }
        self.call_until(deadline, event, handler, request).await
    }

    /// Calls a handler while the connection's other work goes on. Without a deadline it has the time of one handler.
    async fn call_until(
        &mut self,
        deadline: Option<Instant>,
        event: &str,
        handler: &BoxedHandler,
        mut request: EventRequest,
    ) -> (Option<AckSender>, Handled) {
        // Also the first part of a handler that is no async function may panic.
        let begun = std::panic::catch_unwind(AssertUnwindSafe(|| handler(&mut request)));
        let result = match begun {
            Ok(Ok(called)) => self.finish_call(deadline, event, called).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(panicked(event)),
        };
        if request.shares_context() {
            let hub = &self.transport.hub;
            hub.save_application(self.executor.connection()).await;
        }
        (request.take_ack(), result)
    }

    async fn finish_call(
        &mut self,
        deadline: Option<Instant>,
        event: &str,
        called: HandlerFuture,
    ) -> Handled {
        let mut called = AssertUnwindSafe(called).catch_unwind();
        // Most handlers are ready at once. A timer, and what is polled beside a handler that waits, would cost more than they do.
        let result = match poll!(&mut called) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                let limit = self.transport.handler_timeout;
                let deadline = deadline.unwrap_or_else(|| Instant::now() + limit);
                let called = timeout_at(deadline, called);
                match self.executor.drive_while(called).await {
                    Ok(result) => result,
                    Err(_) => return Err(timed_out(event, limit).into()),
                }
            }
        };
        result.unwrap_or_else(|_| Err(panicked(event)))
    }

    pub(super) fn context(&self) -> EventContext {
        EventContext {
            hub: self.transport.hub.clone(),
            connection: self.executor.connection().clone(),
            socket: self.executor.sink().socket.clone(),
            io: self.io.clone(),
            recovered: false,
            rooms_at_end: None,
        }
    }

    fn ack_sender(&self, ack: Option<i64>) -> AckSender {
        AckSender::new(self.executor.sink().event_sink.clone(), ack)
    }

    fn request(
        &self,
        context: EventContext,
        encoded: EncodedArguments,
        ack: Option<i64>,
    ) -> EventRequest {
        let states = self.transport.states.clone();
        EventRequest::new(context, encoded, self.ack_sender(ack), states)
    }

    /// Sends what a handler has returned.
    pub(super) fn finish_handler(
        &mut self,
        target: &AckTarget,
        (ack, result): (Option<AckSender>, Handled),
    ) {
        log_failure(&target.event, &result);
        let error = result.as_ref().err().map(HandlerError::to_error);
        self.executor.note(error.as_ref());
        match (ack, result) {
            (Some(ack), Ok(HandlerReply(reply))) => ack.send_payload(&reply),
            (Some(ack), Err(error)) if ack.is_expected() => ack.fail(error),
            (_, Err(error)) => self.executor.sink().send_error(target, &error),
            (None, Ok(_)) => {}
        }
    }
}

/// The text of a packet, and its attachments.
type EncodedArguments = (
    engineioxide::Str,
    Option<std::collections::VecDeque<bytes::Bytes>>,
);

/// Logs an error that the client is not told.
fn log_failure(event: &str, result: &Handled) {
    if let Some(cause) = result.as_ref().err().and_then(HandlerError::source) {
        log_in_bursts!(error, event, %cause, "an event handler failed");
    }
}

fn panicked(event: &str) -> HandlerError {
    log_in_bursts!(error, event, "an event handler panicked");
    HandlerError::internal()
}

fn timed_out(event: &str, limit: Duration) -> Error {
    log_in_bursts!(
        warn,
        event,
        ?limit,
        "an event handler timed out: socketio.handler_timeout"
    );
    let message = "handling this event took longer than socketio.handler_timeout";
    Error::new(Code::Unavailable, message)
}
