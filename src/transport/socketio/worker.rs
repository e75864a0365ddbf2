//! The one task of a connection: handles its events in the order they came, and watches its token's end.
//!
//! A message takes its place in the log's order before the next event is looked at, but its storing is not waited for:
//! many are under way at once and are answered in order. Every other event waits until those before it are stored.

use std::{future::Future, pin::Pin, sync::Arc};

use futures_util::{
    StreamExt,
    stream::{FuturesOrdered, FuturesUnordered},
};
use serde::Serialize;
use serde_json::{json, value::RawValue};
use socketioxide::extract::SocketRef;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    Door,
    custom::{EventContext, acknowledged},
    inbox::Waiting,
    outlet::SocketOutlet,
    packet::{Arguments, Packet},
    relay::relay,
    requests::{REQUESTS, Request, Roll, StatusBody, room_of},
};
use crate::{
    backend::{Appended, Receipt},
    error::{Code, Error, Limit, Result},
    hub::{Close, Connection, Join, Outgoing, Outlet, Publish, Publishing, Signal},
    model::{RoomName, Timestamp},
};

/// Messages of one connection that may be on their way to the log.
const UNDER_WAY: usize = 1024;

/// The task's belongings.
pub(super) struct Worker {
    pub(super) door: Arc<Door>,
    pub(super) socket: SocketRef,
    pub(super) connection: Arc<Connection>,
    pub(super) outlet: Arc<SocketOutlet>,
    pub(super) waiting: Waiting,
    /// Cancelled when socketioxide has let go of the socket.
    pub(super) ended: CancellationToken,
}

/// Whom to answer.
struct Asked {
    event: String,
    room: Option<RoomName>,
    ack: Option<i64>,
}

type Answered = (Asked, Result<Box<RawValue>>);
type Answering = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// What is still to be answered.
#[derive(Default)]
struct UnderWay {
    /// Messages on their way to the log, answered in order.
    stored: FuturesOrdered<Answering>,
    /// Signals that wait for others, answered as the answers come.
    signals: FuturesUnordered<Answering>,
}

/// Where a connection stands with its token.
enum Expiry {
    Never,
    /// To be told at this time.
    Due(Instant),
    /// Told; to be closed at this time.
    Grace(Instant),
}

/// Ends the connection's part however its task ends: one that panics, in a handler of the application's perhaps, would
/// leave a member that is sent to for ever and whose events nobody handles.
struct Departure {
    door: Arc<Door>,
    connection: Arc<Connection>,
    outlet: Arc<SocketOutlet>,
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.door.hub.disconnect(&self.connection);
        if std::thread::panicking() {
            self.outlet.close(Close::Failed);
        }
    }
}

impl Worker {
    /// Works until the socket has ended and everything it sent is handled.
    pub(super) async fn run(mut self) {
        let _departure = Departure {
            door: self.door.clone(),
            connection: self.connection.clone(),
            outlet: self.outlet.clone(),
        };
        let mut under_way = UnderWay::default();
        let mut expiry = self.expiry();
        let mut ended = false;
        loop {
            // Whoever does not take its answers is not asked what it wants next.
            let behind = self.outlet.is_behind();
            tokio::select! {
                biased;
                Some((asked, result)) = under_way.stored.next() => self.answer(asked, result),
                Some((asked, result)) = under_way.signals.next() => self.answer(asked, result),
                () = self.ended.cancelled(), if !ended => {
                    // It stays in its rooms until what it sent before is handled: a page that is closed marks what
                    // was read and goes, in one packet perhaps.
                    ended = true;
                    self.waiting.close();
                }
                () = until(&expiry), if !ended => expiry = self.expire(&expiry),
                () = self.outlet.drained(), if behind => {}
                packet = self.waiting.next(), if !behind && under_way.stored.len() < UNDER_WAY => match packet {
                    Some(packet) => {
                        if self.handle(packet, &mut under_way).await {
                            expiry = self.expiry();
                        }
                    }
                    None => break,
                },
            }
        }
        self.settle(&mut under_way).await;
    }

    /// Handles one packet; true if the connection's identity may have been replaced.
    async fn handle(&self, mut packet: Packet, under_way: &mut UnderWay) -> bool {
        self.door.hub.acted(&self.connection);
        let ack = packet.ack.take();
        let arguments = packet.arguments(self.door.nesting);
        let asked = Asked::new(arguments.as_ref().ok(), ack);
        let wanted =
            arguments.and_then(|arguments| Wanted::read(arguments, packet.attachments.is_some()));
        if let Ok(Wanted::Request(Request::Publish(publish))) = wanted {
            if !publish.ephemeral {
                self.append(publish, asked, under_way).await;
                return false;
            }
            self.settle(under_way).await;
            let result = self.send(publish).await;
            self.answer(asked, result);
            return false;
        }
        self.settle(under_way).await;
        let (result, refreshed) = match wanted {
            Ok(Wanted::Request(Request::Join(join))) => {
                self.join(join, asked).await;
                return false;
            }
            Ok(Wanted::Request(Request::Signal(signal))) => {
                self.signal(&signal, asked, under_way);
                return false;
            }
            Ok(Wanted::Request(request)) => {
                let refreshes = matches!(request, Request::Refresh(_));
                let result = self.perform(request).await;
                // One that was refused changes nothing: the grace time of an expired token would begin anew.
                let refreshed = refreshes && result.is_ok();
                (result, refreshed)
            }
            Ok(Wanted::Other(arguments)) => (self.other(&arguments, &packet).await, false),
            Err(error) => (Err(error), false),
        };
        self.answer(asked, result);
        refreshed
    }

    /// Gives a message its place in the log's order; it is answered when it is stored.
    async fn append(&self, publish: Publish, asked: Asked, under_way: &mut UnderWay) {
        let (room, began) = (publish.room.clone(), Instant::now());
        let accepted = self.door.hub.publish(&self.connection, publish).await;
        let metrics = self.door.hub.metrics().clone();
        under_way.stored.push_back(Box::pin(async move {
            let result = match accepted {
                Ok(Publishing::Accepted(receipt)) => stored(room, receipt).await,
                Ok(Publishing::Sent) => acknowledged(&InRoom { room }),
                Err(error) => Err(error),
            };
            metrics.appended(began.elapsed());
            (asked, result)
        }));
    }

    /// Passes on an event that is not kept.
    async fn send(&self, publish: Publish) -> Result<Box<RawValue>> {
        let room = publish.room.clone();
        self.door.hub.publish(&self.connection, publish).await?;
        acknowledged(&InRoom { room })
    }

    /// Sends a signal; it is answered when its receivers have answered.
    fn signal(&self, signal: &Signal, asked: Asked, under_way: &UnderWay) {
        let hub = &self.door.hub;
        let most = hub.limits().signals;
        let sent = if most != 0 && under_way.signals.len() >= most {
            let message = format!("{most} signals wait for an answer already");
            Err(Error::new(Code::LimitReached, message).for_limit(Limit::Signals))
        } else {
            hub.signal(&self.connection, signal)
        };
        match sent {
            Ok(replies) => under_way.signals.push(Box::pin(async move {
                let replies = replies.await;
                (asked, acknowledged(&replies))
            })),
            Err(error) => self.answer(asked, Err(error)),
        }
    }

    /// Waits until every message under way is stored and answered.
    async fn settle(&self, under_way: &mut UnderWay) {
        while let Some((asked, result)) = under_way.stored.next().await {
            self.answer(asked, result);
        }
    }

    /// Joins, answers, and only then lets the live events through.
    async fn join(&self, join: Join, asked: Asked) {
        let room = join.room.clone();
        match self.door.hub.join(&self.connection, join).await {
            Ok(joined) => {
                // Mirrored for relaying and for what an application emits by room.
                self.socket.join(room.to_string());
                if self.ended.is_cancelled() {
                    // Whatever rooms it had have been left already, and nobody else would take it out of this one.
                    self.socket.leave(room.to_string());
                }
                self.answer(asked, acknowledged(&joined));
                self.door.hub.go_live(&self.connection, &joined);
            }
            Err(error) => self.answer(asked, Err(error)),
        }
    }

    /// The requests that have their answer at once.
    async fn perform(&self, request: Request) -> Result<Box<RawValue>> {
        let hub = &self.door.hub;
        hub.take_message_permit(&self.connection, std::time::Instant::now())?;
        match request {
            Request::Leave(room) => {
                hub.leave(&self.connection, &room).await?;
                self.socket.leave(room.to_string());
                acknowledged(&InRoom { room })
            }
            Request::History(history) => {
                acknowledged(&hub.history(&self.connection, history).await?)
            }
            Request::Refresh(token) => {
                let expires_at = hub.refresh(&self.connection, &token).await?;
                acknowledged(&json!({ "expires_at": expires_at }))
            }
            Request::Presence(Roll { room, limit, after }) => {
                acknowledged(&hub.presence(&self.connection, room, limit, after.as_ref())?)
            }
            Request::Status(StatusBody { status, info }) => {
                let status = hub.status(&self.connection, &status, info)?;
                acknowledged(&json!({ "status": status }))
            }
            Request::Typing(room, typing) => {
                hub.typing(&self.connection, &room, typing)?;
                acknowledged(&InRoom { room })
            }
            Request::Read(room, seq) => acknowledged(&hub.read(&self.connection, room, seq).await?),
            Request::Join(_) | Request::Publish(_) | Request::Signal(_) => Err(Error::new(
                Code::Internal,
                "this event is handled elsewhere",
            )),
        }
    }

    /// The application's own events, and those that are relayed.
    async fn other(&self, arguments: &Arguments<'_>, packet: &Packet) -> Result<Box<RawValue>> {
        let event = arguments.event.as_str();
        self.door
            .hub
            .take_message_permit(&self.connection, std::time::Instant::now())?;
        if let Some(handler) = self.door.custom.get(event) {
            if packet.attachments.is_some() {
                return Err(no_binary());
            }
            let context = EventContext {
                hub: self.door.hub.clone(),
                connection: self.connection.clone(),
                socket: self.socket.clone(),
            };
            return handler(context, arguments.single()?).await;
        }
        if self.door.relay.contains(event) {
            let most = self.door.hub.limits().message_bytes.bytes();
            let attachments = packet.attachments.as_ref();
            relay(&self.socket, &self.connection, arguments, attachments, most).await?;
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

    /// Answers by ack, or by an `error` event if the client asked for no ack and it failed.
    fn answer(&self, asked: Asked, result: Result<Box<RawValue>>) {
        if let Err(error) = &result {
            self.door.hub.metrics().error(error);
            if error.code() == Code::Internal {
                tracing::error!(event = %asked.event, %error, cause = ?std::error::Error::source(error), "an event failed");
            }
        }
        let Asked { event, room, ack } = asked;
        match (ack, result) {
            (Some(ack), Ok(reply)) => self.outlet.answer(ack, &*reply),
            (Some(ack), Err(error)) => self.outlet.answer(
                ack,
                &Failed {
                    ok: false,
                    error: &error,
                },
            ),
            (None, Ok(_)) => {}
            (None, Err(error)) => self.outlet.push(&Outgoing::notice(
                "error",
                &Unanswered {
                    event: &event,
                    room: room.as_ref(),
                    error: &error,
                },
            )),
        }
    }

    /// When the token ends, as it stands now.
    fn expiry(&self) -> Expiry {
        match self.connection.principal().expires_at {
            None => Expiry::Never,
            Some(end) => Expiry::Due(Instant::now() + Timestamp::now().until(end)),
        }
    }

    /// The token has ended: says so, or closes the connection when that was said before.
    fn expire(&self, expiry: &Expiry) -> Expiry {
        match expiry {
            Expiry::Due(_) => {
                let error = Error::new(
                    Code::TokenExpired,
                    "the token has expired; send refresh with a new one",
                );
                self.outlet.push(&Outgoing::notice("error", &error));
                Expiry::Grace(Instant::now() + self.door.grace)
            }
            Expiry::Grace(_) | Expiry::Never => {
                self.connection.close(Close::Expired);
                Expiry::Never
            }
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
        match Request::parse(&arguments) {
            Some(_) if has_attachments => Err(no_binary()),
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
                None => arguments.and_then(room_of),
                Some(_) => None,
            },
            ack,
        }
    }
}

fn no_binary() -> Error {
    Error::bad_request(
        "this event takes no binary attachments: send text (base64 for instance), or use a relayed event",
    )
}

async fn until(expiry: &Expiry) {
    match expiry {
        Expiry::Due(at) | Expiry::Grace(at) => sleep_until(*at).await,
        Expiry::Never => std::future::pending().await,
    }
}

/// The ack of a message, once it is stored.
async fn stored(room: RoomName, receipt: Receipt) -> Result<Box<RawValue>> {
    #[derive(Serialize)]
    struct Stored {
        room: RoomName,
        #[serde(flatten)]
        appended: Appended,
    }
    let appended = receipt.settled().await?;
    acknowledged(&Stored { room, appended })
}

#[derive(Serialize)]
struct InRoom {
    room: RoomName,
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
