//! Server-Sent Events of the REST API: responses that last, for dashboards and back ends.
//!
//! The body is asked for the next event when the last one is sent, so a reader that stalls costs what its producer holds for it and
//! no task.

use std::{fmt::Write as _, future::Future, time::Duration};

use axum::{
    Extension,
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, header};
use serde::Serialize;
use tokio::time::timeout;

use super::{Api, access::Operator};
use crate::{
    auth::AdminSession,
    error::{Code, Error, Limit, Result},
    limits::{Holder, Reservation},
    model::Timestamp,
};

/// How often an idle stream is kept open by a comment.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a browser waits before it reconnects, in milliseconds.
const RETRY_MS: u64 = 2000;

/// When a client should retry that finds all streams taken.
const STREAMS_RETRY_DELAY: Duration = Duration::from_secs(5);

const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-store, no-transform"),
    // Keeps proxies from buffering, which delays events.
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// What makes the events of a stream.
pub(super) trait EventSource: Send + 'static {
    /// Waits for the next event; `None` ends the stream. Dropped and called again while it waits.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// One event as it is written. `id` is what a browser gives back when it reconnects.
pub(super) fn event(name: &str, id: Option<u64>, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("strings, numbers and raw JSON always serialize");
    let mut text = String::with_capacity(data.len() + 64);
    let _ = writeln!(text, "event: {name}");
    // Raw JSON may have line breaks.
    for line in data.split(['\n', '\r']) {
        let _ = writeln!(text, "data: {line}");
    }
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    text.push('\n');
    text.into()
}

/// A place for a stream. Taken before anything is done for it.
///
/// # Errors
/// `limit_reached` if the node has as many streams as it may have.
pub(super) fn reserve(api: &Api) -> Result<Reservation> {
    api.streams.take(Holder::Backend, 1).map_err(|_| {
        let message = format!(
            "{} streams are open: limits.api_streams",
            api.streams.size()
        );
        Error::new(Code::LimitReached, message)
            .for_limit(Limit::ApiStreams)
            .retry_after(STREAMS_RETRY_DELAY)
    })
}

/// A response that sends what `source` makes, for as long as the session lasts if `operator` has one.
pub(super) fn respond(
    api: &Api,
    place: Reservation,
    operator: Option<Extension<Operator>>,
    source: impl EventSource,
) -> Response {
    let start = Bytes::from(format!("retry: {RETRY_MS}\n\n"));
    let open = OpenStream {
        source,
        start: Some(start),
        api: api.clone(),
        session: operator.and_then(|operator| operator.session),
        _place: place,
    };
    let body = stream::unfold(open, async |mut open| {
        let bytes = open.next().await?;
        Some((Ok::<_, std::io::Error>(bytes), open))
    });
    (HEADERS, Body::from_stream(body)).into_response()
}

struct OpenStream<S> {
    source: S,
    start: Option<Bytes>,
    api: Api,
    session: Option<AdminSession>,
    _place: Reservation,
}

impl<S: EventSource> OpenStream<S> {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(start) = self.start.take() {
            return Some(start);
        }
        let next = match timeout(HEARTBEAT, self.source.next()).await {
            Ok(event) => event,
            Err(_) => Some(Bytes::from_static(b":\n\n")),
        };
        next.filter(|_| self.may_go_on())
    }

    /// Whether the reader still may read.
    fn may_go_on(&self) -> bool {
        let admin = self.api.hub.authority().admin();
        self.session.is_none_or(|session| {
            admin.is_some_and(|admin| admin.is_open(session, Timestamp::now()))
        })
    }
}
