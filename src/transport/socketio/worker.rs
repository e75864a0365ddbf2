//! The one task of a connection: receives its events in the order they came, parses them, and executes them.
//!
//! The hub's executor executes the requests of the public contract. The application's own events and relayed events are handled
//! here.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{task::consume_budget, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    SocketIoTransport, SocketRef,
    custom_events::{EventContext, encode_ack},
    event_packet::{EventArguments, EventPacket},
    event_sink::SocketEventSink,
    inbox::InboxReceiver,
    relay::relay,
};
use crate::{
    error::{Code, Error, Result},
    hub::{
        Connection, EventSink, Executor, OutgoingEvent, Reply, ReplySink, Request, RequestCost,
        track_idle,
    },
    model::RoomName,
    retry::log_in_bursts,
    transport::requests::{self, REQUEST_EVENTS, named_room},
};

/// Units of the task's cooperative budget of 128 that one event uses up. An event costs several times what a frame does, of which a reader
/// handles two for a unit.
const BUDGET_UNITS_PER_EVENT: usize = 4;

/// State of the task.
pub(super) struct Worker {
    transport: Arc<SocketIoTransport>,
    executor: Executor<SocketReplySink>,
    inbox: InboxReceiver,
    /// Cancelled when socketioxide has released the socket.
    ended: CancellationToken,
}

/// Sends replies to one connection.
struct SocketReplySink {
    socket: SocketRef,
    event_sink: Arc<SocketEventSink>,
}

/// Where the reply to an event goes.
struct AckTarget {
    event: String,
    room: Option<RoomName>,
    /// The ack id, if the client asked for an ack.
    ack: Option<i64>,
}

impl Worker {
    pub(super) fn new(
        transport: Arc<SocketIoTransport>,
        connection: Arc<Connection>,
        (socket, event_sink): (SocketRef, Arc<SocketEventSink>),
        inbox: InboxReceiver,
        ended: CancellationToken,
    ) -> Self {
        let sink = SocketReplySink { socket, event_sink };
        Self {
            executor: Executor::new(transport.hub.clone(), connection, sink, ended.clone()),
            transport,
            inbox,
            ended,
        }
    }

    /// Runs until the socket has ended and everything it sent is handled.
    pub(super) async fn run(mut self) {
        let (mut ended, mut idle) = (false, false);
        loop {
            let takes_more = self.executor.accepts_requests();
            tokio::select! {
                biased;
                () = self.executor.drive() => {}
                () = self.ended.cancelled(), if !ended => {
                    // It stays in its rooms until what it sent before is handled: a page that is closed sends its read
                    // marker and disconnects, perhaps in one packet.
                    ended = true;
                    self.inbox.close();
                }
                packet = track_idle(&mut idle, self.inbox.next()), if takes_more => {
                    let Some(packet) = packet else { break };
                    if std::mem::take(&mut idle) {
                        self.executor.note_caught_up();
                    }
                    self.handle(packet).await;
                    // Yields to other tasks, however much is queued here.
                    for _ in 0..BUDGET_UNITS_PER_EVENT {
                        consume_budget().await;
                    }
                }
            }
        }
        self.executor.finish().await;
        let hub = &self.transport.hub;
        hub.save_application(self.executor.connection()).await;
    }

    async fn handle(&mut self, mut packet: EventPacket) {
        let ack = packet.ack.take();
        let arguments = packet.arguments(self.transport.nesting);
        let target = AckTarget::new(arguments.as_ref().ok(), ack);
        let event = arguments
            .and_then(|arguments| ParsedEvent::parse(arguments, packet.attachments.is_some()));
        match event {
            Ok(ParsedEvent::Request(request)) => self.executor.execute(target, Ok(request)).await,
            Ok(ParsedEvent::Other(arguments)) => {
                let result = self.handle_other(&arguments, &packet).await;
                self.executor.note(result.as_ref().err());
                let result = result.as_deref();
                self.executor.sink().send(target, result);
            }
            Err(error) => self.executor.execute(target, Err(error)).await,
        }
    }

    /// Handles the application's own events, and relayed events. Returns the ack.
    async fn handle_other(
        &mut self,
        arguments: &EventArguments<'_>,
        packet: &EventPacket,
    ) -> Result<Box<RawValue>> {
        let event = arguments.event.as_str();
        let relayed = self.transport.relayed_events.contains(event);
        let cost = match relayed && self.transport.custom.get(event).is_none() {
            true => RequestCost::Event,
            false => RequestCost::Message,
        };
        self.executor.wait_turn(cost).await?;
        if let Some(handler) = self.transport.custom.get(event) {
            if packet.attachments.is_some() {
                return Err(no_binary());
            }
            let context = EventContext {
                hub: self.transport.hub.clone(),
                connection: self.executor.connection().clone(),
                socket: self.executor.sink().socket.clone(),
            };
            let limit = self.transport.handler_timeout;
            let result = timeout(limit, handler(context, arguments.single()?));
            let result = self.executor.drive_while(result).await;
            let hub = &self.transport.hub;
            hub.save_application(self.executor.connection()).await;
            return result.unwrap_or_else(|_| Err(handler_timed_out(event, limit)));
        }
        let (socket, connection) = (&self.executor.sink().socket, self.executor.connection());
        if relayed {
            let limit = self.transport.hub.limits().message_bytes.bytes();
            let attachments = packet.attachments.as_ref();
            relay(socket, connection, arguments, attachments, limit).await?;
            self.transport.hub.metrics().ephemeral.inc();
            return encode_ack(&());
        }
        Err(Error::new(
            Code::NotFound,
            format!(
                "nothing here listens to this event: it is none of {}, and socketio.relay does not name it",
                REQUEST_EVENTS.join(", ")
            ),
        ))
    }
}

impl ReplySink for SocketReplySink {
    type Target = AckTarget;

    fn reply(&self, target: AckTarget, result: Result<&Reply, &Error>) {
        match result {
            Ok(Reply::Joined(joined)) => self.event_sink.mirror_join(&joined.room),
            Ok(Reply::Left { room }) => self.event_sink.room_left(room),
            _ => {}
        }
        let reply = match (&target.ack, result) {
            (Some(_), Ok(reply)) => encode_ack(reply),
            (None, Ok(_)) => return,
            (_, Err(error)) => Err(error.clone()),
        };
        self.send(target, reply.as_deref());
    }
}

impl SocketReplySink {
    /// Sends the ack, or an `error` event if the client asked for no ack and the event failed.
    fn send(&self, target: AckTarget, result: Result<&RawValue, &Error>) {
        let AckTarget { event, room, ack } = target;
        match (ack, result) {
            (Some(ack), Ok(reply)) => self.event_sink.acknowledge(ack, reply),
            (Some(ack), Err(error)) => self
                .event_sink
                .acknowledge(ack, &FailedAck { ok: false, error }),
            (None, Ok(_)) => {}
            (None, Err(error)) => self.event_sink.push(&OutgoingEvent::notice(
                "error",
                &ErrorEvent {
                    event: &event,
                    room: room.as_ref(),
                    error,
                },
            )),
        }
    }
}

/// An event by who handles it.
enum ParsedEvent<'a> {
    /// A request of the public contract.
    Request(Request),
    /// An event of the application's, or one to be relayed.
    Other(EventArguments<'a>),
}

impl<'a> ParsedEvent<'a> {
    fn parse(arguments: EventArguments<'a>, has_attachments: bool) -> Result<Self> {
        if !REQUEST_EVENTS.contains(&arguments.event.as_str()) {
            return Ok(ParsedEvent::Other(arguments));
        }
        if has_attachments {
            return Err(no_binary());
        }
        match requests::parse(&arguments.event, arguments.single()?, None) {
            Some(request) => request.map(ParsedEvent::Request),
            None => Ok(ParsedEvent::Other(arguments)),
        }
    }
}

impl AckTarget {
    /// The target of the reply to an event; the name of one that could not be parsed is not known.
    fn new(arguments: Option<&EventArguments<'_>>, ack: Option<i64>) -> Self {
        Self {
            event: arguments.map_or_else(String::new, |arguments| arguments.event.clone()),
            // Parsing it is a good part of a message's cost, and acks do not name it.
            room: match ack {
                None => arguments
                    .and_then(|arguments| named_room(&arguments.event, arguments.values.first()?)),
                Some(_) => None,
            },
            ack,
        }
    }
}

fn handler_timed_out(event: &str, limit: Duration) -> Error {
    log_in_bursts!(
        warn,
        event,
        ?limit,
        "an event handler timed out: socketio.handler_timeout"
    );
    let message = "handling this event took longer than socketio.handler_timeout";
    Error::new(Code::Unavailable, message)
}

fn no_binary() -> Error {
    Error::bad_request(
        "this event takes no binary attachments: send text (base64 for instance), or use a relayed event",
    )
}

#[derive(Serialize)]
struct FailedAck<'a> {
    ok: bool,
    error: &'a Error,
}

#[derive(Serialize)]
struct ErrorEvent<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a RoomName>,
    #[serde(flatten)]
    error: &'a Error,
}
