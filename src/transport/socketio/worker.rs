//! The one task of a connection: takes its events in the order they came, reads them, and has them carried out.
//!
//! What is a request of the contract the hub's executor carries out; the application's own events and those that are
//! relayed are handled here.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{task::consume_budget, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Door, SocketRef,
    custom::{EventContext, acknowledged},
    inbox::Waiting,
    outlet::SocketOutlet,
    packet::{Arguments, Packet},
    relay::relay,
};
use crate::{
    error::{Code, Error, Result},
    hub::{Answer, Connection, Desk, EventSink, Executor, Outgoing, Request, Toll, track_idle},
    model::RoomName,
    repeat::log_in_bursts,
    transport::requests::{self, REQUESTS, room_of},
};

/// The task's belongings.
pub(super) struct Worker {
    door: Arc<Door>,
    executor: Executor<SocketDesk>,
    waiting: Waiting,
    /// Cancelled when socketioxide has let go of the socket.
    ended: CancellationToken,
}

/// Writes answers into one connection.
struct SocketDesk {
    socket: SocketRef,
    outlet: Arc<SocketOutlet>,
}

/// Whom to answer.
struct Asked {
    event: String,
    room: Option<RoomName>,
    ack: Option<i64>,
}

impl Worker {
    pub(super) fn new(
        door: Arc<Door>,
        connection: Arc<Connection>,
        (socket, outlet): (SocketRef, Arc<SocketOutlet>),
        waiting: Waiting,
        ended: CancellationToken,
    ) -> Self {
        let desk = SocketDesk { socket, outlet };
        Self {
            executor: Executor::new(door.hub.clone(), connection, desk, ended.clone()),
            door,
            waiting,
            ended,
        }
    }

    /// Works until the socket has ended and everything it sent is handled.
    pub(super) async fn run(mut self) {
        let (mut ended, mut idle) = (false, false);
        loop {
            let takes_more = self.executor.takes_more();
            tokio::select! {
                biased;
                () = self.executor.go_on() => {}
                () = self.ended.cancelled(), if !ended => {
                    // It stays in its rooms until what it sent before is handled: a page that is closed marks what
                    // was read and goes, in one packet perhaps.
                    ended = true;
                    self.waiting.close();
                }
                packet = track_idle(&mut idle, self.waiting.next()), if takes_more => {
                    let Some(packet) = packet else { break };
                    if std::mem::take(&mut idle) {
                        self.executor.caught_up();
                    }
                    self.handle(packet).await;
                    // Others are to have their turn, however much waits here.
                    consume_budget().await;
                }
            }
        }
        self.executor.finish().await;
        let hub = &self.door.hub;
        hub.keep_application(self.executor.connection()).await;
    }

    async fn handle(&mut self, mut packet: Packet) {
        let ack = packet.ack.take();
        let arguments = packet.arguments(self.door.nesting);
        let asked = Asked::new(arguments.as_ref().ok(), ack);
        let wanted =
            arguments.and_then(|arguments| Wanted::read(arguments, packet.attachments.is_some()));
        match wanted {
            Ok(Wanted::Request(request)) => self.executor.execute(asked, Ok(request)).await,
            Ok(Wanted::Other(arguments)) => {
                let result = self.other(&arguments, &packet).await;
                self.executor.note(result.as_ref().err());
                let result = result.as_deref();
                self.executor.desk().write(asked, result);
            }
            Err(error) => self.executor.execute(asked, Err(error)).await,
        }
    }

    /// The application's own events, and those that are relayed.
    async fn other(&mut self, arguments: &Arguments<'_>, packet: &Packet) -> Result<Box<RawValue>> {
        let event = arguments.event.as_str();
        let toll = match self.door.relay.contains(event) && self.door.custom.get(event).is_none() {
            true => Toll::Event,
            false => Toll::Message,
        };
        self.executor.make_way(toll).await?;
        if let Some(handler) = self.door.custom.get(event) {
            if packet.attachments.is_some() {
                return Err(no_binary());
            }
            let context = EventContext {
                hub: self.door.hub.clone(),
                connection: self.executor.connection().clone(),
                socket: self.executor.desk().socket.clone(),
            };
            let most = self.door.handler_timeout;
            let answer = timeout(most, handler(context, arguments.single()?));
            let answer = self.executor.meanwhile(answer).await;
            let hub = &self.door.hub;
            hub.keep_application(self.executor.connection()).await;
            return answer.unwrap_or_else(|_| Err(took_too_long(event, most)));
        }
        let (socket, connection) = (&self.executor.desk().socket, self.executor.connection());
        if self.door.relay.contains(event) {
            let most = self.door.hub.limits().message_bytes.bytes();
            let attachments = packet.attachments.as_ref();
            relay(socket, connection, arguments, attachments, most).await?;
            self.door.hub.metrics().ephemeral.inc();
            return acknowledged(&());
        }
        Err(Error::new(
            Code::NotFound,
            format!(
                "nothing here listens to this event: it is none of {}, and socketio.relay does not name it",
                REQUESTS.join(", ")
            ),
        ))
    }
}

impl Desk for SocketDesk {
    type Asked = Asked;

    fn answer(&self, asked: Asked, result: Result<&Answer, &Error>) {
        match result {
            Ok(Answer::Joined(joined)) => self.outlet.entered(&joined.room),
            Ok(Answer::Left { room }) => self.outlet.expelled(room),
            _ => {}
        }
        let reply = match (&asked.ack, result) {
            (Some(_), Ok(reply)) => acknowledged(reply),
            (None, Ok(_)) => return,
            (_, Err(error)) => Err(error.clone()),
        };
        self.write(asked, reply.as_deref());
    }
}

impl SocketDesk {
    /// Answers by ack, or by an `error` event if the client asked for no ack and it failed.
    fn write(&self, asked: Asked, result: Result<&RawValue, &Error>) {
        let Asked { event, room, ack } = asked;
        match (ack, result) {
            (Some(ack), Ok(reply)) => self.outlet.answer(ack, reply),
            (Some(ack), Err(error)) => self.outlet.answer(ack, &Failed { ok: false, error }),
            (None, Ok(_)) => {}
            (None, Err(error)) => self.outlet.push(&Outgoing::notice(
                "error",
                &Unanswered {
                    event: &event,
                    room: room.as_ref(),
                    error,
                },
            )),
        }
    }
}

/// What an event asks for.
enum Wanted<'a> {
    /// Something of the contract.
    Request(Request),
    /// Something of the application's, or to be relayed.
    Other(Arguments<'a>),
}

impl<'a> Wanted<'a> {
    fn read(arguments: Arguments<'a>, has_attachments: bool) -> Result<Self> {
        if !REQUESTS.contains(&arguments.event.as_str()) {
            return Ok(Wanted::Other(arguments));
        }
        if has_attachments {
            return Err(no_binary());
        }
        match requests::parse(&arguments.event, arguments.single()?, None) {
            Some(request) => request.map(Wanted::Request),
            None => Ok(Wanted::Other(arguments)),
        }
    }
}

impl Asked {
    /// Takes from a packet what its answer needs; of one that could not be read, no name is known.
    fn new(arguments: Option<&Arguments<'_>>, ack: Option<i64>) -> Self {
        Self {
            event: arguments.map_or_else(String::new, |arguments| arguments.event.clone()),
            // Reading it is a good part of a message's cost, and acks do not name it.
            room: match ack {
                None => arguments
                    .and_then(|arguments| room_of(&arguments.event, arguments.values.first()?)),
                Some(_) => None,
            },
            ack,
        }
    }
}

fn took_too_long(event: &str, most: Duration) -> Error {
    log_in_bursts!(
        warn,
        event,
        ?most,
        "a handler was given up: socketio.handler_timeout"
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
struct Failed<'a> {
    ok: bool,
    error: &'a Error,
}

#[derive(Serialize)]
struct Unanswered<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a RoomName>,
    #[serde(flatten)]
    error: &'a Error,
}
