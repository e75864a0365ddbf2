//! The door of Server-Sent Events: `/events/{room}` and `/events?room=a&room=b`, for pages that only listen.
//!
//! A stream is a connection that begins at a place in the log (the hub's [`StreamRequest`]) and is only written to: into an outbox
//! as every client, from there through a small pipe into the answer's body. Each stored message carries a cursor, which
//! browsers give back by themselves when they come back.

use std::{
    fmt::Write as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::Stream as Chunks;
use http::{HeaderName, Method, Request, header, request::Parts};
use rand::RngExt;
use serde::Serialize;
use tokio::{
    io::DuplexStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{
    io::ReaderStream,
    sync::{CancellationToken, DropGuard},
};

use super::{
    Doorway, EventsSettings,
    greeting::session,
    peer::{Framing, LAST_WORD, Peer},
    wanted::Wanted,
    wire::Frame,
};
use crate::{
    error::{Error, Result},
    http::{ConnectionAbort, params::PathParams, traced},
    hub::{
        CloseReason, Connection, DisconnectGuard, Event, Format, Outgoing, PreparedStream,
        StreamRequest, StreamStart, TokenExpiry,
    },
    model::{Cursor, Epoch, Namespace, Offset, Position, RoomName, Timestamp},
};

/// Bytes between outbox and body: what waits is to wait in the outbox, where it is counted.
const PIPE: usize = 8 << 10;

/// How a stream is answered.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-store, no-transform"),
    // What a proxy gathers comes late.
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// What every stream shares.
#[derive(Clone)]
struct Door {
    doorway: Arc<Doorway>,
    settings: Arc<EventsSettings>,
}

/// The door's routes.
pub(crate) fn routes(doorway: &Arc<Doorway>, settings: &EventsSettings) -> Router {
    let door = Door {
        doorway: doorway.clone(),
        settings: Arc::new(settings.clone()),
    };
    let stream = async |State(door): State<Door>, room: Option<PathParams<String>>, request| {
        door.answer(room.map(|PathParams(room)| room), request)
            .await
    };
    let routes = Router::new()
        .route("/events", get(stream))
        .route("/events/", get(stream))
        .route("/events/{room}", get(stream));
    traced(routes.with_state(door))
}

impl Door {
    async fn answer(self, room: Option<String>, request: Request<Body>) -> Response {
        let (parts, _) = request.into_parts();
        let doorway = self.doorway.clone();
        let begun = self.begin(room, &parts).await;
        begun.unwrap_or_else(|error| doorway.refuse(&error))
    }

    async fn begin(self, room: Option<String>, request: &Parts) -> Result<Response> {
        self.doorway
            .check_origin(&request.headers, &request.extensions)?;
        let stream = wanted(room.as_deref(), request)?;
        let (admitted, principal) = self.doorway.admit(request).await?;
        let hub = self.doorway.hub();
        if request.method == Method::HEAD {
            return Ok(HEADERS.into_response());
        }
        let beginning = hub
            .prepare_stream(Namespace::root(), principal, stream)
            .await?;
        let framing = EventStream {
            life: beginning.cursor.incarnation.clone(),
            cursor: beginning.cursor.clone(),
            last_reset: beginning.resets.last().map(|reset| reset.room.clone()),
        };
        let streams = &hub.metrics().event_streams;
        let peer = Peer::new(framing, &self.doorway, admitted, streams);
        let (writer, reader) = tokio::io::duplex(PIPE);
        peer.outbox().attach_plain(Box::new(writer));
        peer.send(Frame::of(retry(self.settings.retry)));
        let gone = CancellationToken::new();
        let body = Piped {
            pipe: ReaderStream::new(reader),
            _gone: gone.clone().drop_guard(),
        };
        let abort = request.extensions.get::<ConnectionAbort>().cloned();
        tokio::spawn(self.serve(beginning, peer, gone, abort));
        Ok((HEADERS, Body::from_stream(body)).into_response())
    }

    /// Looks after one stream until somebody ends it.
    async fn serve(
        self,
        beginning: PreparedStream,
        peer: Arc<Peer<EventStream>>,
        gone: CancellationToken,
        abort: Option<ConnectionAbort>,
    ) {
        let PreparedStream {
            prepared,
            cursor,
            resets,
        } = beginning;
        let (hub, node) = (self.doorway.hub(), self.doorway.node());
        let greet = |connection: &Connection| {
            // Where rooms are reset, only whoever has heard of that has a place to go on from.
            let begins = Some(&cursor).filter(|_| resets.is_empty());
            connection.push(&session(connection, hub, node, begins));
            for reset in &resets {
                connection.push(&Outgoing::room_notice("reset", &reset.room, reset));
            }
        };
        let connection = hub.connect(prepared, peer.clone(), greet).await;
        let departure = DisconnectGuard::new(hub, &connection);
        self.watch(&connection, &peer, &gone).await;
        drop(departure);
        if timeout(LAST_WORD, gone.cancelled()).await.is_err() {
            // What it has not taken by now it will not take; hyper does not look at the body any more.
            peer.outbox().end();
            if let Some(abort) = abort {
                abort.abort();
            }
        }
    }

    /// Keeps a stream alive; ready when it is to end.
    async fn watch(
        &self,
        connection: &Connection,
        peer: &Peer<EventStream>,
        gone: &CancellationToken,
    ) {
        // It cannot be given another token.
        let mut expiry = TokenExpiry::new(connection, Duration::ZERO);
        let mut beat = Instant::now() + self.settings.heartbeat;
        loop {
            tokio::select! {
                biased;
                () = gone.cancelled() => return,
                () = peer.ending() => return,
                () = expiry.due() => expiry.advance(connection),
                () = sleep_until(beat) => {
                    peer.send(Frame::of(Bytes::from_static(b":\n\n")));
                    beat = Instant::now() + self.settings.heartbeat;
                }
            }
        }
    }
}

/// The stream that a request asks for.
fn wanted(room: Option<&str>, request: &Parts) -> Result<StreamRequest> {
    let Wanted {
        rooms,
        since,
        last_event,
        history,
    } = Wanted::read(room, &request.uri)?;
    if rooms.is_empty() {
        return Err(Error::bad_request(
            "no room is named: /events/{room}, or /events?room=a&room=b",
        ));
    }
    let one = rooms.len() == 1;
    let place = |text: &str| match (Cursor::parse(text), Position::parse(text)) {
        (Some(cursor), _) => Ok(StreamStart::Cursor(cursor)),
        (None, Ok(position)) if one => Ok(StreamStart::Position(position)),
        _ => Err(Error::bad_request(
            "since is the id of an event, or for one room \"epoch:seq\"",
        )),
    };
    // What a client gives back by itself is never an error: it would not come again. It is newer than `since`, which a page
    // wrote into the address at its start; and a header, which no page writes there, is the newest.
    let header = request.headers.get("last-event-id");
    let header = header.filter(|id| !id.is_empty());
    let given_back = match header {
        Some(id) => Some(id.to_str().unwrap_or_default()),
        None => last_event.as_deref(),
    };
    let since = match given_back {
        Some(id) => Some(place(id).unwrap_or(StreamStart::Unknown)),
        None => since.as_deref().map(place).transpose()?,
    };
    Ok(StreamRequest {
        rooms,
        since,
        history,
    })
}

/// When to come back, for each a little different: streams that end together are not to come back together.
fn retry(base: Duration) -> Bytes {
    let wait = base.mul_f64(rand::rng().random_range(0.5..1.5));
    format!("retry: {}\n\n", wait.as_millis()).into()
}

/// How streams are written to.
struct EventStream {
    life: Epoch,
    /// Where this one begins.
    cursor: Cursor,
    /// The room of which it is told last that it begins anew: whoever is abort before that comes back to where it was, and
    /// is told again.
    last_reset: Option<RoomName>,
}

impl EventStream {
    fn cursor(&self, offset: Offset, ts: Timestamp) -> Cursor {
        Cursor {
            incarnation: self.life.clone(),
            offset,
            ts,
        }
    }
}

impl Framing for EventStream {
    const FORMAT: Format = Format::EventStream;

    fn frame(&self, event: &Outgoing) -> Bytes {
        match event.event() {
            Event::Message(message) => {
                let cursor = self.cursor(message.offset, message.ts);
                block(message.event.as_str(), &encode(message), Some(&cursor))
            }
            Event::Ephemeral(event) => block(event.event.as_str(), &encode(event), None),
            Event::Notice(name, room, argument) => {
                let begins = match *name {
                    "session" => self.last_reset.is_none(),
                    "reset" => *room == self.last_reset,
                    _ => false,
                };
                block(name, argument.get(), begins.then_some(&self.cursor))
            }
        }
    }

    fn last_word(&self, _: CloseReason) -> Option<Frame> {
        None
    }
}

fn encode(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and raw JSON always serialize")
}

/// One event of a stream. JSON that a client wrote over several lines stays so: each is a line of data.
fn block(event: &str, data: &str, id: Option<&Cursor>) -> Bytes {
    let mut text = String::with_capacity(event.len() + data.len() + 64);
    let _ = writeln!(text, "event: {event}");
    for line in data.split(['\n', '\r']) {
        let _ = writeln!(text, "data: {line}");
    }
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    text.push('\n');
    text.into()
}

/// An answer's body out of a pipe; whoever waits for it is told when nobody takes it any more.
struct Piped {
    pipe: ReaderStream<DuplexStream>,
    _gone: DropGuard,
}

impl Chunks for Piped {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.pipe).poll_next(context)
    }
}

#[cfg(test)]
mod tests;
