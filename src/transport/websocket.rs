//! The plain WebSocket door: `/ws` and `/ws/{room}`, one JSON object a frame, for clients without a library.
//!
//! The doorway decides who comes in, then the WebSocket is upgraded. One task a connection reads frames
//! ([`envelope`](super::envelope)) and has the hub's executor carry them out; what goes out is framed once for all who get
//! it, and waits in the same kind of outbox as for Socket.IO.

use std::sync::Arc;

use axum::{Router, body::Body, extract::State, response::Response, routing::get};
use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use hyper::upgrade::OnUpgrade;
use serde::Serialize;
use tokio::{
    task::consume_budget,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{
    Doorway, WebSocketSettings, close_codes as code,
    envelope::{self, Envelope},
    greeting::session,
    packet_rate::PacedReader,
    parts::{Bearer, HeldReader},
    peer::{Framing, LAST_WORD, Peer},
    wanted::Wanted,
    wire::{Frame, OutboxStream},
};
use crate::{
    error::{Code, Error, Result},
    http::{
        params::PathParams,
        traced,
        upgrade::{StreamReader, accept_upgrade, split_upgraded, switching_protocols},
    },
    hub::{
        CloseReason, Connection, Executor, Format, Join, Joined, Members, Outgoing,
        PreparedConnection, Replay, Reply, ReplySink, Request as Wish, ResumeRequest,
        memory_exhausted, track_idle,
    },
    limits::Account,
    model::{Epoch, Message as Kept, MessageId, Namespace, Position, RoomName, Seq},
};

/// What every connection of the door shares.
#[derive(Clone)]
struct Door {
    doorway: Arc<Doorway>,
    settings: Arc<WebSocketSettings>,
    /// Memory that each connection reads into.
    read_buffer: usize,
}

/// The door's routes.
pub(crate) fn routes(
    doorway: &Arc<Doorway>,
    settings: &WebSocketSettings,
    read_buffer: usize,
) -> Router {
    let door = Door {
        doorway: doorway.clone(),
        settings: Arc::new(settings.clone()),
        read_buffer,
    };
    let upgrade = async |State(door): State<Door>, room: Option<PathParams<String>>, request| {
        door.answer(room.map(|PathParams(room)| room), request)
            .await
    };
    let routes = Router::new()
        .route("/ws", get(upgrade))
        .route("/ws/", get(upgrade))
        .route("/ws/{room}", get(upgrade));
    traced(routes.with_state(door))
}

impl Door {
    async fn answer(self, room: Option<String>, request: Request<Body>) -> Response {
        let doorway = self.doorway.clone();
        let upgraded = self.upgrade(room, request).await;
        upgraded.unwrap_or_else(|error| doorway.refuse(&error))
    }

    async fn upgrade(self, room: Option<String>, mut request: Request<Body>) -> Result<Response> {
        self.doorway
            .check_page(request.headers(), request.extensions())?;
        let accept = accept_upgrade(&request)?;
        let wanted = Wanted::read(room.as_deref(), request.uri())?;
        let joins = joins(wanted)?;
        let upgrading = hyper::upgrade::on(&mut request);
        let (parts, _) = request.into_parts();
        let (admitted, principal) = self.doorway.admit(&parts).await?;
        let holder = self.doorway.holder(&parts, Some(&principal));
        let hub = self.doorway.hub();
        let arrived = hub
            .prepare_connection(Namespace::root(), principal, ResumeRequest::Unsupported)
            .await?;
        let peer = Peer::new(
            Envelopes,
            &self.doorway,
            admitted,
            &hub.metrics().websockets,
        );
        let account = Account::new(hub.memory().clone(), holder);
        tokio::spawn(self.serve(upgrading, arrived, (peer, account), joins));
        Ok(switching_protocols(accept))
    }

    async fn serve(
        self,
        upgrading: OnUpgrade,
        arrived: PreparedConnection,
        (peer, account): (Arc<Peer<Envelopes>>, Arc<Account>),
        joins: Vec<Join>,
    ) {
        let Ok(upgraded) = upgrading.await else {
            return; // the peer went away between its request and our answer
        };
        let (reader, writer) = split_upgraded(upgraded);
        let bearer = Bearer {
            account: account.clone(),
            outbox: peer.outbox().clone(),
            metrics: self.doorway.hub().metrics().clone(),
            stall: self.doorway.hub().limits().stall,
        };
        let paced = PacedReader::new(reader, self.doorway.packet_rate());
        let reader = HeldReader::new(paced, bearer);
        let wire = OutboxStream::for_plain(reader, writer, peer.outbox().clone());
        let most = Some(self.settings.max_payload.bytes());
        let config = WebSocketConfig::default()
            .read_buffer_size(self.read_buffer)
            .max_message_size(most)
            .max_frame_size(most);
        let mut socket = WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await;
        let (hub, node) = (self.doorway.hub(), self.doorway.node());
        let greet = |connection: &Connection| {
            connection.push(&session(connection, hub, node, None));
        };
        let connection = hub.connect(arrived, peer.clone(), greet).await;
        let mut conversation = Conversation {
            executor: Executor::new(
                hub.clone(),
                connection,
                EnvelopeDesk {
                    peer: peer.clone(),
                    account,
                },
                peer.ended().clone(),
            ),
            room: match joins.as_slice() {
                [only] => Some(only.room.clone()),
                _ => None,
            },
            peer: &peer,
            settings: &self.settings,
        };
        conversation.enter(joins).await;
        let ended = conversation.run(&mut socket).await;
        conversation.executor.finish().await;
        drop(conversation);
        if ended == Ended::Here {
            let _ = timeout(LAST_WORD, socket.get_mut().drain_reader()).await;
            peer.outbox().end();
        }
    }
}

/// The joins that an address asks for.
fn joins(wanted: Wanted) -> Result<Vec<Join>> {
    let Wanted {
        rooms,
        since,
        history,
        last_event: _,
    } = wanted;
    let replay = match since {
        Some(_) if rooms.len() != 1 => {
            return Err(Error::bad_request("since goes with one room"));
        }
        Some(since) => Replay::Since(Position::parse(&since)?, (history > 0).then_some(history)),
        None if history > 0 => Replay::Last(history),
        None => Replay::Nothing,
    };
    let join = |room| Join {
        room,
        replay: replay.clone(),
    };
    Ok(rooms.into_iter().map(join).collect())
}

/// Who ended a conversation.
#[derive(PartialEq, Eq)]
enum Ended {
    /// The server; the client is to have a moment to take its last word.
    Here,
    /// The client, or nobody is there any more.
    There,
}

type Socket = WebSocketStream<OutboxStream<HeldReader<StreamReader>>>;

/// What one connection's task works with.
struct Conversation<'a> {
    executor: Executor<EnvelopeDesk>,
    /// For frames that name no room.
    room: Option<RoomName>,
    peer: &'a Arc<Peer<Envelopes>>,
    settings: &'a WebSocketSettings,
}

impl Conversation<'_> {
    /// Joins the rooms of the address; a client that may not is closed.
    async fn enter(&mut self, joins: Vec<Join>) {
        for join in joins {
            let asked = Asked {
                id: None,
                room: Some(join.room.clone()),
                entry: true,
            };
            self.executor.execute(asked, Ok(Wish::Join(join))).await;
            if self.peer.is_ending() {
                return;
            }
        }
    }

    /// Carries out what the client asks, frame by frame, until somebody ends this.
    async fn run(&mut self, socket: &mut Socket) -> Ended {
        let (interval, patience) = (self.settings.ping_interval, self.settings.ping_timeout);
        let (mut heard, mut pinged, mut idle) = (Instant::now(), false, false);
        loop {
            let takes_more = self.executor.accepts_requests();
            if !takes_more {
                // What it says to a ping is not read meanwhile.
                (heard, pinged) = (Instant::now(), false);
            }
            let due = heard
                + if pinged {
                    interval + patience
                } else {
                    interval
                };
            tokio::select! {
                biased;
                () = self.peer.ending() => return Ended::Here,
                () = self.executor.drive() => {}
                next = track_idle(&mut idle, socket.next()), if takes_more => {
                    (heard, pinged) = (Instant::now(), false);
                    if std::mem::take(&mut idle) {
                        self.executor.note_caught_up();
                    }
                    match next {
                        Some(Ok(message)) => {
                            self.hear(message).await;
                            // Several came in one go perhaps, and others are to have their turn.
                            consume_budget().await;
                        }
                        Some(Err(error)) => return self.misheard(&error),
                        None => return Ended::There,
                    }
                }
                () = sleep_until(due), if takes_more => {
                    if pinged {
                        self.peer.count_end("ping_timeout");
                        self.peer.outbox().end();
                        return Ended::There;
                    }
                    self.peer.send(Frame::ping());
                    pinged = true;
                }
            }
        }
    }

    async fn hear(&mut self, message: Message) {
        let (asked, request) = match message {
            Message::Text(text) => {
                let asked = envelope::read(&text, self.room.as_ref());
                (Asked::of(asked.id, asked.room), asked.request)
            }
            Message::Binary(_) => {
                let error = Error::bad_request("frames are text here: one JSON object each");
                (Asked::of(None, None), Err(error))
            }
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return,
        };
        self.executor.execute(asked, request).await;
    }

    /// Ends a client whose bytes are no frames that can be taken.
    fn misheard(&self, error: &tungstenite::Error) -> Ended {
        let (code, why) = match error {
            tungstenite::Error::Capacity(_) => (code::TOO_LARGE, "too_large"),
            tungstenite::Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )
            | tungstenite::Error::ConnectionClosed
            | tungstenite::Error::AlreadyClosed
            | tungstenite::Error::Io(_) => return Ended::There,
            tungstenite::Error::Utf8(_) => (code::NOT_UTF8, "bad_request"),
            _ => (code::PROTOCOL, "bad_request"),
        };
        tracing::debug!(%error, "a WebSocket is closed for what it sent");
        let reason = match code {
            code::TOO_LARGE => CloseReason::TooLarge,
            _ => CloseReason::Malformed,
        };
        self.peer.count_end(reason.as_str());
        self.peer.end(Some(Frame::close(code, why)), true);
        Ended::Here
    }
}

/// Whom to answer.
struct Asked {
    id: Option<MessageId>,
    room: Option<RoomName>,
    /// It was asked by the address; there is no connection without it.
    entry: bool,
}

impl Asked {
    fn of(id: Option<MessageId>, room: Option<RoomName>) -> Self {
        Self {
            id,
            room,
            entry: false,
        }
    }
}

/// Writes answers into one connection.
struct EnvelopeDesk {
    peer: Arc<Peer<Envelopes>>,
    account: Arc<Account>,
}

impl EnvelopeDesk {
    /// Sends an answer, or says that there is no memory for it.
    fn send(&self, answer: &Envelope<'_, impl Serialize>, asked: &Asked) {
        let frame = answer.frame().charged(&self.account);
        self.peer.send(frame.unwrap_or_else(|why| {
            let error = memory_exhausted(why);
            self.peer.count_error(&error);
            let refused = Envelope::new("error", asked.room.as_ref(), error);
            refused.with_id(asked.id.as_ref()).frame()
        }));
    }
}

/// What an `ack` says.
#[derive(Serialize)]
struct Delivered<'a> {
    status: &'static str,
    #[serde(flatten)]
    answer: Option<&'a Reply>,
}

/// What `system` says of a room that was joined.
#[derive(Serialize)]
struct Entered<'a> {
    event: &'static str,
    room: &'a RoomName,
    epoch: &'a Epoch,
    seq: Seq,
    recovered: bool,
    unread: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<&'a Members>,
    /// Of the past, if no `ack` has told them.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Arc<Kept>]>,
}

impl<'a> Entered<'a> {
    fn of(joined: &'a Joined, acknowledged: bool) -> Self {
        Self {
            event: "joined",
            room: &joined.room,
            epoch: &joined.epoch,
            seq: joined.seq,
            recovered: joined.recovered,
            unread: joined.unread,
            members: joined.members.as_ref(),
            messages: (!acknowledged).then_some(&*joined.messages),
        }
    }
}

#[derive(Serialize)]
struct Gone<'a> {
    event: &'static str,
    room: &'a RoomName,
}

impl ReplySink for EnvelopeDesk {
    type Target = Asked;

    fn reply(&self, asked: Asked, result: Result<&Reply, &Error>) {
        let room = asked.room.as_ref();
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                let refused = Envelope::new("error", room, error);
                self.peer.send(refused.with_id(asked.id.as_ref()).frame());
                if asked.entry {
                    let reason = error.code().as_str();
                    let last = Frame::close(entry_code(error.code()), reason);
                    self.peer.count_end(reason);
                    self.peer.end(Some(last), true);
                }
                return;
            }
        };
        if let Some(id) = &asked.id {
            let status = "delivered";
            // The status of a user would take the place of that of the frame.
            let answer = Some(answer).filter(|it| !matches!(it, Reply::Status { .. }));
            let ack = Envelope::new("ack", room, Delivered { status, answer });
            self.send(&ack.with_id(Some(id)), &asked);
        }
        match answer {
            Reply::Joined(joined) => {
                let entered = Entered::of(joined, asked.id.is_some());
                let told = Envelope::new("system", Some(&joined.room), entered);
                self.send(&told, &asked);
            }
            Reply::Left { room } => {
                let gone = Gone {
                    event: "left",
                    room,
                };
                self.peer
                    .send(Envelope::new("system", Some(room), gone).frame());
            }
            _ => {}
        }
    }
}

/// Why there is no connection to the rooms of an address.
fn entry_code(code: Code) -> u16 {
    match code {
        Code::Forbidden => code::FORBIDDEN,
        Code::RateLimited => code::RATE_LIMITED,
        _ => code::TRY_AGAIN,
    }
}

/// How plain WebSockets are written to.
struct Envelopes;

impl Framing for Envelopes {
    const FORMAT: Format = Format::Envelope;

    fn frame(&self, event: &Outgoing) -> Bytes {
        envelope::frame(event)
    }

    fn last_word(&self, why: CloseReason) -> Option<Frame> {
        Some(code::frame(why))
    }
}
