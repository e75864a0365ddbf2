//! The one worker of a connection: receives its events in the order they came, parses them, and executes them. It is a task, except
//! while there is nothing to do ([`parking`](super::parking)).
//!
//! Each event goes to its owner: to the hub's executor if it is one of the contract, to the other sockets if it is relayed, to
//! the endpoint of a hook, or to the application's handler. The application is told of the connection's beginning and end, too.

use std::sync::Arc;

use serde::Serialize;
use tokio::task::consume_budget;
use tracing::Instrument;

mod application;
mod hook;
mod repeats;

pub(super) use self::application::Greeting;
use super::{
    ServedNamespace, SocketIo, SocketIoTransport, SocketRef,
    event_packet::{EventArguments, EventPacket},
    event_sink::SocketEventSink,
    handlers::encode_ok,
    inbox::{InboxReceiver, Received},
    relay::relay,
    socket_end::SocketEnd,
    succession::Place,
};
use crate::{
    error::{Code, Error, Result},
    events::{CONTRACT_EVENTS, Owner, RelayMode},
    hub::{
        AnswerTurn, Connection, Executor, PendingAnswer, Reply, ReplySink, Request, RequestCost,
        track_idle,
    },
    model::{EventPayload, MAX_EVENT_BYTES, RoomName},
    transport::requests::{self, named_room},
};

/// Units of the task's cooperative budget of 128 that one event uses up. An event costs several times what a frame does, of which a reader
/// handles two for a unit.
const BUDGET_UNITS_PER_EVENT: usize = 4;

/// State of the worker.
pub(super) struct Worker {
    transport: Arc<SocketIoTransport>,
    executor: Executor<SocketReplySink>,
    inbox: InboxReceiver,
    namespace: ServedNamespace,
    io: SocketIo,
    end: Arc<SocketEnd>,
    /// An event that its client may have sent to another node before has been looked up there.
    asked_elsewhere: bool,
    /// Its place among the connections with the same id, if the application is told of its beginning or end.
    place: Option<Place>,
}

/// Why a worker stops receiving.
enum Pause {
    /// There is nothing to do for now.
    Resting,
    /// The socket has ended, and everything that it sent is handled.
    Ended,
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
    /// Keeps the answer of an event that may be sent again.
    answer: Option<PendingAnswer>,
}

impl Worker {
    pub(super) fn new(
        transport: Arc<SocketIoTransport>,
        namespace: ServedNamespace,
        connection: Arc<Connection>,
        (socket, io, event_sink): (SocketRef, SocketIo, Arc<SocketEventSink>),
        inbox: InboxReceiver,
        (end, place): (Arc<SocketEnd>, Option<Place>),
    ) -> Self {
        let sink = SocketReplySink { socket, event_sink };
        let ended = end.token().clone();
        Self {
            namespace,
            executor: Executor::new(transport.hub.clone(), connection, sink, ended),
            transport,
            inbox,
            io,
            end,
            asked_elsewhere: false,
            place,
        }
    }

    /// Runs until the socket has ended, everything it sent is handled, and the application has been told; or until there is nothing
    /// to do, and then as another task when there is.
    pub(super) async fn run(mut self, greeting: Option<Greeting>) {
        // Boxed: most connections need none of this most of the time.
        Box::pin(self.announce_begin(greeting)).await;
        self.serve().await;
    }

    async fn serve(mut self) {
        self.transport.parking.watch(self.inbox.inbox());
        match self.handle_packets().await {
            Pause::Resting => self.park(),
            Pause::Ended => Box::pin(self.finish()).await,
        }
    }

    /// Gives the task up.
    fn park(self) {
        let (inbox, end) = (self.inbox.inbox().clone(), self.end.clone());
        let resume = move || {
            let runtime = self.transport.parking.runtime().clone();
            drop(runtime.spawn(self.serve()));
        };
        inbox.park(Box::new(resume), || end.token().is_cancelled());
    }

    async fn finish(mut self) {
        self.executor.finish().await;
        let (hub, connection) = (&self.transport.hub, self.executor.connection());
        hub.save_if_new(connection).await;
        hub.save_application(connection).await;
        let rooms = connection.rooms();
        let _draining = hub.hold_ending();
        // Before the application is told: whatever its handler does, the client is a member no more.
        hub.disconnect(connection);
        Box::pin(self.announce_end(rooms)).await;
    }

    /// Handles what the client sends until the socket has ended, and everything that it had sent by then; or until there is nothing to
    /// do.
    async fn handle_packets(&mut self) -> Pause {
        let (mut ended, mut idle) = (false, false);
        // Made once: waiting for it anew with each event would cost as much as the event's parsing.
        let mut end = std::pin::pin!(self.end.token().clone().cancelled_owned());
        loop {
            let takes_more = self.executor.accepts_requests();
            tokio::select! {
                biased;
                () = self.executor.drive() => {}
                () = end.as_mut(), if !ended => {
                    // It stays in its rooms until what it sent before is handled: a page that is closed sends its read
                    // marker and disconnects, perhaps in one packet.
                    ended = true;
                    self.inbox.close();
                }
                received = track_idle(&mut idle, self.inbox.next()), if takes_more => {
                    let packet = match received {
                        Received::Packet(packet) => packet,
                        Received::Quiet if self.may_park() => return Pause::Resting,
                        Received::Quiet => continue,
                        Received::Ended => return Pause::Ended,
                    };
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
    }

    /// Whether there is nothing to do for now; if there is, it is asked again later.
    fn may_park(&mut self) -> bool {
        let (parking, inbox) = (&self.transport.parking, self.inbox.inbox());
        let may = self.executor.rest() && parking.allows(inbox, self.executor.expires_at());
        if !may {
            parking.watch(inbox);
        }
        may
    }

    async fn handle(&mut self, mut packet: EventPacket) {
        let ack = packet.ack.take();
        let arguments = packet.arguments(self.transport.nesting);
        let mut target = AckTarget::new(arguments.as_ref().ok(), ack);
        let arguments = match arguments {
            Ok(arguments) => arguments,
            Err(error) => return self.executor.execute(target, Err(error)).await,
        };
        let owner = self.namespace.owners.owner(&arguments.event);
        self.tap(owner, &arguments.event, packet.text.as_str());
        if self.may_repeat(owner, &arguments.event, ack) {
            // Boxed: most events need none of this.
            match Box::pin(self.take_answer_turn(&packet)).await {
                Ok(AnswerTurn::First(answer)) => target.answer = Some(answer),
                Ok(AnswerTurn::Repeated(answer)) => {
                    return self.executor.sink().send(&target, Ok(&answer));
                }
                Err(error) => return self.executor.execute(target, Err(error)).await,
            }
        }
        let result = match owner {
            Some(Owner::Contract) => {
                let request = parse_request(&arguments, packet.attachments.is_some());
                return self.executor.execute(target, request).await;
            }
            Some(Owner::Application) => {
                let span = self.executor.span("event", None, Some(&arguments.event));
                let answer = target.answer.take();
                let calling = self.call_handler(&arguments, &packet, (ack, answer));
                let called = calling.instrument(span).await;
                return self.finish_handler(&target, called);
            }
            Some(Owner::Hook(index)) => {
                // Boxed: most events need none of this.
                let span = self.executor.span("event", None, Some(&arguments.event));
                let calling = self.call_hook(index, &arguments, &packet, &target);
                return Box::pin(calling.instrument(span)).await;
            }
            Some(Owner::Relay(mode)) => self.relay(&arguments, &packet, mode).await,
            None => self.refuse().await,
        };
        self.executor.note(result.as_ref().err());
        self.executor.sink().send(&target, result.as_ref());
    }

    /// Shows an event to operators who look; of the one with a token only its name.
    fn tap(&self, owner: Option<Owner>, event: &str, text: &str) {
        let text = match (owner, event) {
            (Some(Owner::Contract), "refresh") => r#"["refresh"]"#,
            _ => text,
        };
        let connection = self.executor.connection();
        self.transport.hub.tap_event(connection, text);
    }

    /// Relays an event. Returns the arguments of the ack.
    async fn relay(
        &mut self,
        arguments: &EventArguments<'_>,
        packet: &EventPacket,
        mode: RelayMode,
    ) -> Result<EventPayload> {
        self.executor.wait_turn(RequestCost::Event).await?;
        let (hub, connection) = (&self.transport.hub, self.executor.connection().clone());
        let relayed = relay(hub, &connection, arguments, packet, mode);
        self.executor.drive_while(relayed).await?;
        match mode.empty_ack {
            true => Ok(EventPayload::empty()),
            false => Ok(EventPayload::ok()),
        }
    }

    /// The error of an event that nobody owns. It costs what a message does.
    async fn refuse(&mut self) -> Result<EventPayload> {
        self.executor.wait_turn(RequestCost::Message).await?;
        let message = match self.namespace.owners.has_contract() {
            true => format!(
                "nothing here listens to this event: it is none of {}, and socketio.relay does not name it",
                CONTRACT_EVENTS.join(", ")
            ),
            false => "nothing here listens to this event: socketio.relay does not name it, and socketio.contract is off".to_owned(),
        };
        Err(Error::new(Code::NotFound, message))
    }
}

impl ReplySink for SocketReplySink {
    type Target = AckTarget;

    fn reply(&self, target: AckTarget, result: Result<&Reply, &Error>) {
        let reply = match (&target.ack, result) {
            (Some(_), Ok(reply)) => encode_ok(reply),
            (None, Ok(_)) => return,
            (_, Err(error)) => Err(error.clone()),
        };
        self.send(&target, reply.as_ref());
    }
}

impl SocketReplySink {
    /// Sends the ack, or an `error` event if the client asked for no ack and the event failed.
    fn send(&self, target: &AckTarget, result: Result<&EventPayload, &Error>) {
        match (target.ack, result) {
            (Some(ack), Ok(reply)) => {
                if let Some(answer) = &target.answer {
                    answer.give(reply);
                }
                self.event_sink.acknowledge_payload(ack, reply);
            }
            (Some(ack), Err(error)) => self.event_sink.acknowledge_failure(ack, error),
            (None, Ok(_)) => {}
            (None, Err(error)) => self.send_error(target, error),
        }
    }

    fn send_error(&self, target: &AckTarget, error: &impl Serialize) {
        self.event_sink
            .send_error(&target.event, target.room.as_ref(), error);
    }
}

/// Parses an event of the contract.
fn parse_request(arguments: &EventArguments<'_>, has_attachments: bool) -> Result<Request> {
    if has_attachments {
        return Err(no_binary());
    }
    let request = requests::parse(&arguments.event, arguments.single()?, None);
    request.unwrap_or_else(|| Err(Error::new(Code::Internal, "this event has no parser")))
}

impl AckTarget {
    /// The target of what is told about an event that wants no ack.
    fn of_event(event: &str) -> Self {
        Self {
            event: event.to_owned(),
            room: None,
            ack: None,
            answer: None,
        }
    }

    /// The target of the reply to an event; the name of one that could not be parsed is not known.
    fn new(arguments: Option<&EventArguments<'_>>, ack: Option<i64>) -> Self {
        Self {
            event: arguments.map_or_else(String::new, |arguments| shown_name(&arguments.event)),
            // Parsing it is a good part of a message's cost, and acks do not name it.
            room: match ack {
                None => arguments.and_then(|arguments| {
                    named_room(&arguments.event, arguments.values().first()?)
                }),
                Some(_) => None,
            },
            ack,
            answer: None,
        }
    }
}

/// The name of an event as an error repeats it: cut, if no event has such a name.
fn shown_name(event: &str) -> String {
    let end = event.floor_char_boundary(MAX_EVENT_BYTES);
    event[..end].to_owned()
}

fn no_binary() -> Error {
    Error::bad_request(
        "this event takes no binary attachments: send text (base64 for instance), or use a relayed event",
    )
}
