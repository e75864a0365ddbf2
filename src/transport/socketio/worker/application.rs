//! Calls the application's handlers: of events, and of a connection's beginning and end.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout, timeout_at};

use super::{AckTarget, Worker};
use crate::{
    error::{Code, Error, Result},
    hub::RequestCost,
    model::RoomName,
    retry::log_in_bursts,
    transport::socketio::{
        event_packet::{EventArguments, EventPacket},
        handlers::{
            AckSender, BoxedHandler, DisconnectReason, EventContext, EventRequest, HandlerError,
            HandlerReply,
        },
        placeholders::check_placeholders,
        succession::Place,
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
    pub(super) async fn announce_begin(
        &mut self,
        greeting: Option<Greeting>,
        place: Option<&Place>,
    ) {
        let handlers = self.namespace.handlers.clone();
        if let Some(place) = place {
            // Its events and its end may take this long each.
            let limit = self.transport.handler_timeout * 2;
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
        let deadline = Instant::now() + self.transport.handler_timeout;
        let (_, result) = self
            .call_until(deadline, "disconnect", handler, request)
            .await;
        log_failure("disconnect", &result);
    }

    /// Calls the application's handler of an event. Returns what is to be sent as its ack, or as its error, and by whom: `None` if
    /// the handler has taken the sender of the ack.
    pub(super) async fn call_handler(
        &mut self,
        arguments: &EventArguments<'_>,
        packet: &EventPacket,
        ack: Option<i64>,
    ) -> (Option<AckSender>, Handled) {
        if let Err(error) = self.executor.wait_turn(RequestCost::Message).await {
            return (Some(self.ack_sender(ack)), Err(error.into()));
        }
        if let Err(error) = check_placeholders(&arguments.values, packet.attachments.as_ref()) {
            return (Some(self.ack_sender(ack)), Err(error.into()));
        }
        let event = arguments.event.as_str();
        let handlers = self.namespace.handlers.clone();
        let Some(handler) = handlers.event(event) else {
            let error = Error::new(Code::Internal, "the handler of this event is gone");
            return (Some(self.ack_sender(ack)), Err(error.into()));
        };
        let encoded = (packet.text.clone(), packet.attachments.clone());
        let request = self.request(self.context(), encoded, ack);
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
        let now = Instant::now();
        let deadline = self.end.instant().unwrap_or(now) + limit;
        if deadline <= now {
            return (request.take_ack(), Err(timed_out(event, limit).into()));
        }
        self.call_until(deadline, event, handler, request).await
    }

    /// Calls a handler while the connection's other work goes on.
    async fn call_until(
        &mut self,
        deadline: Instant,
        event: &str,
        handler: &BoxedHandler,
        mut request: EventRequest,
    ) -> (Option<AckSender>, Handled) {
        // Also the first part of a handler that is no async function may panic.
        let begun = std::panic::catch_unwind(AssertUnwindSafe(|| handler(&mut request)));
        let result = match begun {
            Ok(Ok(called)) => {
                let called = AssertUnwindSafe(called).catch_unwind();
                let result = self
                    .executor
                    .drive_while(timeout_at(deadline, called))
                    .await;
                match result {
                    Ok(Ok(result)) => result,
                    Ok(Err(_)) => Err(panicked(event)),
                    Err(_) => Err(timed_out(event, self.transport.handler_timeout).into()),
                }
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(panicked(event)),
        };
        if request.shares_context() {
            let hub = &self.transport.hub;
            hub.save_application(self.executor.connection()).await;
        }
        (request.take_ack(), result)
    }

    fn context(&self) -> EventContext {
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
