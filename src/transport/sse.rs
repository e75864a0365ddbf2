//! Server-Sent Events: `/events/{room}` and `/events?room=a&room=b`, for pages that only listen.
//!
//! A stream is a connection that starts at a position in the log (the hub's [`StreamRequest`]) and is only written to: into an
//! outbox like every client's, and from there through a small pipe into the response's body. Each stored message has a cursor
//! as its id, which browsers send back when they reconnect.

use std::{
    fmt::Write as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::Stream as ByteStream;
use http::{HeaderName, Method, Request, header, request::Parts};
use rand::RngExt;
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

mod pipe;

use self::pipe::{PipeReader, pipe};

use super::{
    AdmissionControl, EventsSettings,
    framed_client::{CLOSE_TIMEOUT, FramedClient, Framing},
    room_query::RoomQuery,
    session_event::session_event,
    wire::Frame,
};
use crate::{
    error::{Error, Result},
    http::{ConnectionAbort, Routes, params::PathParams, route_all, traced},
    hub::{
        CloseReason, Connection, DisconnectGuard, Event, Format, OutgoingEvent, PreparedStream,
        StreamRequest, StreamStart, TokenExpiry,
    },
    model::{Cursor, Incarnation, Namespace, Offset, Position, RoomName, Timestamp},
};

/// Bytes between outbox and body: small, because what is queued should be in the outbox, where it is bounded and counted.
const PIPE_BYTES: usize = 8 << 10;

/// Headers of a stream's response.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-store, no-transform"),
    // Keeps proxies from buffering, which delays events.
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// The transport's shared state.
#[derive(Clone)]
struct EventStreamTransport {
    admission: Arc<AdmissionControl>,
    settings: Arc<EventsSettings>,
}

/// The paths of the transport's routes.
const PATHS: [&str; 3] = ["/events", "/events/", "/events/{room}"];

/// The transport's routes.
pub(crate) fn routes(admission: &Arc<AdmissionControl>, settings: &EventsSettings) -> Routes {
    let transport = EventStreamTransport {
        admission: admission.clone(),
        settings: Arc::new(settings.clone()),
    };
    let stream = async |State(transport): State<EventStreamTransport>,
                        room: Option<PathParams<String>>,
                        request| {
        transport
            .respond(room.map(|PathParams(room)| room), request)
            .await
    };
    let routes = route_all(&PATHS, &get(stream));
    Routes::new(traced(routes.with_state(transport)), PATHS)
}

impl EventStreamTransport {
    async fn respond(self, room: Option<String>, request: Request<Body>) -> Response {
        let (parts, _) = request.into_parts();
        let admission = self.admission.clone();
        let min_wait = self.settings.retry;
        let opened = self.open_stream(room, &parts).await;
        opened.unwrap_or_else(|error| {
            let refusal = admission.reject(&error);
            match error.retry_after_ms() {
                Some(wait) if accepts_only_streams(&parts) => {
                    retry_later(&error, Duration::from_millis(wait).max(min_wait))
                }
                _ => refusal,
            }
        })
    }

    async fn open_stream(self, room: Option<String>, request: &Parts) -> Result<Response> {
        self.admission
            .check_origin(&request.headers, &request.extensions)?;
        let stream = stream_request(room.as_deref(), request)?;
        let (permit, principal) = self.admission.admit(request).await?;
        let hub = self.admission.hub();
        if request.method == Method::HEAD {
            return Ok(HEADERS.into_response());
        }
        let stream = hub
            .prepare_stream(
                Namespace::root(),
                principal,
                stream,
                self.admission.client_facts(request),
            )
            .await?;
        let framing = EventStream {
            incarnation: stream.cursor.incarnation.clone(),
            cursor: stream.cursor.clone(),
            last_reset: stream.resets.last().map(|reset| reset.room.clone()),
        };
        let streams = &hub.metrics().event_streams;
        let client = FramedClient::new(framing, &self.admission, permit, streams);
        client.complete_handshake();
        let (writer, reader) = pipe(PIPE_BYTES);
        client.outbox().attach_plain(Box::new(writer));
        client.send(Frame::of(retry(self.settings.retry)));
        let gone = CancellationToken::new();
        let body = PipeBody {
            pipe: reader,
            _gone: gone.clone().drop_guard(),
        };
        let abort = request.extensions.get::<ConnectionAbort>().cloned();
        tokio::spawn(self.serve(stream, client, gone, abort));
        Ok((HEADERS, Body::from_stream(body)).into_response())
    }

    /// Serves one stream until it ends.
    async fn serve(
        self,
        stream: PreparedStream,
        client: Arc<FramedClient<EventStream>>,
        gone: CancellationToken,
        abort: Option<ConnectionAbort>,
    ) {
        let PreparedStream {
            prepared,
            cursor,
            resets,
        } = stream;
        let (hub, node) = (self.admission.hub(), self.admission.node());
        let greet = |connection: &Connection| {
            // Where rooms were reset, a client must not continue from the cursor before it has received the resets.
            let start = Some(&cursor).filter(|_| resets.is_empty());
            connection.push(&session_event(connection, hub, node, start));
            for reset in &resets {
                connection.push(&OutgoingEvent::room_notice("reset", &reset.room, reset));
            }
        };
        // Boxed: its future is larger than all that an idle stream needs.
        let connection = Box::pin(hub.connect(prepared, client.clone(), greet)).await;
        let disconnect_guard = DisconnectGuard::new(hub, &connection);
        self.keep_alive(&connection, &client, &gone).await;
        drop(disconnect_guard);
        if timeout(CLOSE_TIMEOUT, gone.cancelled()).await.is_err() {
            // The client does not read, and hyper does not poll the body any more.
            client.outbox().end();
            if let Some(abort) = abort {
                abort.abort();
            }
        }
    }

    /// Sends heartbeats; returns when the stream has to end.
    async fn keep_alive(
        &self,
        connection: &Connection,
        client: &FramedClient<EventStream>,
        gone: &CancellationToken,
    ) {
        // A stream cannot refresh its token.
        let mut expiry = TokenExpiry::new(connection, Duration::ZERO);
        let mut next_heartbeat = Instant::now() + self.settings.heartbeat;
        loop {
            tokio::select! {
                biased;
                () = gone.cancelled() => return,
                () = client.closing() => return,
                () = expiry.due() => expiry.advance(connection),
                () = sleep_until(next_heartbeat) => {
                    client.send(Frame::of(Bytes::from_static(b":\n\n")));
                    next_heartbeat = Instant::now() + self.settings.heartbeat;
                }
            }
        }
    }
}

/// The stream that a request describes.
fn stream_request(room: Option<&str>, request: &Parts) -> Result<StreamRequest> {
    let RoomQuery {
        rooms,
        since,
        last_event,
        history,
    } = RoomQuery::parse(room, &request.uri)?;
    if rooms.is_empty() {
        return Err(Error::bad_request(
            "no room is named: /events/{room}, or /events?room=a&room=b",
        ));
    }
    let single_room = rooms.len() == 1;
    let parse_start = |text: &str| match (Cursor::parse(text), Position::parse(text)) {
        (Some(cursor), _) => Ok(StreamStart::Cursor(cursor)),
        (None, Ok(position)) if single_room => Ok(StreamStart::Position(position)),
        _ => Err(Error::bad_request(
            "since is the id of an event, or for one room \"epoch:seq\"",
        )),
    };
    // An id that a client resends by itself is never an error: the client would not reconnect. It is newer than `since`, which
    // the page wrote into the URL at its start; the header, which no page can set, is the newest.
    let header = request.headers.get("last-event-id");
    let header = header.filter(|id| !id.is_empty());
    let last_event_id = match header {
        Some(id) => Some(id.to_str().unwrap_or_default()),
        None => last_event.as_deref(),
    };
    let since = match last_event_id {
        Some(id) => Some(parse_start(id).unwrap_or(StreamStart::Unknown)),
        None => since.as_deref().map(parse_start).transpose()?,
    };
    Ok(StreamRequest {
        rooms,
        since,
        history,
    })
}

/// The reconnect delay, different for each stream: those that end together must not come back together.
fn retry(base: Duration) -> Bytes {
    retry_field(base.mul_f64(rand::rng().random_range(0.5..1.5)))
}

fn retry_field(wait: Duration) -> Bytes {
    format!("retry: {}\n\n", wait.as_millis()).into()
}

/// Whether the client accepts nothing but a stream, as EventSource does.
fn accepts_only_streams(request: &Parts) -> bool {
    let accept = request.headers.get(header::ACCEPT);
    request.method == Method::GET && accept.is_some_and(|accept| accept == "text/event-stream")
}

/// The minimum delay before a client that was refused comes back.
const MIN_RETRY_LATER: Duration = Duration::from_millis(100);

/// A stream that says when to come back, and ends: for a refusal that time heals. EventSource gives up for good on any status but 200,
/// and would be lost to a page that was open while the node went down or was busy.
fn retry_later(error: &Error, wait: Duration) -> Response {
    // Never earlier than the error says.
    let wait = wait
        .max(MIN_RETRY_LATER)
        .mul_f64(rand::rng().random_range(1.0..1.5));
    tracing::debug!(
        code = error.code().as_str(),
        ?wait,
        "a stream was refused for now"
    );
    let body = [retry_field(wait), block("error", &encode(error), None)];
    (HEADERS, body.concat()).into_response()
}

/// How events are written to a stream.
struct EventStream {
    incarnation: Incarnation,
    /// Where this stream starts.
    cursor: Cursor,
    /// The room whose reset is sent last. Only that event has the cursor: a client that is disconnected before it comes back to
    /// where it was, and gets the resets again.
    last_reset: Option<RoomName>,
}

impl EventStream {
    fn cursor(&self, offset: Offset, ts: Timestamp) -> Cursor {
        Cursor {
            incarnation: self.incarnation.clone(),
            offset,
            ts,
        }
    }
}

impl Framing for EventStream {
    const TRANSPORT: &'static str = "events";
    const FORMAT: Option<Format> = Some(Format::EventStream);

    fn frame(&self, event: &OutgoingEvent) -> Bytes {
        match event.event() {
            Event::Message(message) => {
                let cursor = self.cursor(message.offset, message.ts);
                block(message.event.as_str(), &encode(message), Some(&cursor))
            }
            Event::Ephemeral(event) => block(event.event.as_str(), &encode(event), None),
            Event::Broadcast(_) => Bytes::new(),
            Event::Notice(name, room, argument) => {
                let start = match *name {
                    "session" => self.last_reset.is_none(),
                    "reset" => *room == self.last_reset,
                    _ => false,
                };
                block(name, argument.get(), start.then_some(&self.cursor))
            }
        }
    }

    fn close_frame(&self, _: CloseReason) -> Option<Frame> {
        None
    }
}

fn encode(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and raw JSON always serialize")
}

/// One event of a stream. JSON with line breaks becomes several lines of data.
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

/// A response's body that reads from a pipe; dropping it cancels the guard's token.
struct PipeBody {
    pipe: PipeReader,
    _gone: DropGuard,
}

impl ByteStream for PipeBody {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.pipe).poll_next(context)
    }
}

#[cfg(test)]
mod tests;
