//! Traces: what clients and back ends ask for, as spans for OpenTelemetry.
//!
//! The spans are `tracing`'s, all under [`TARGET`] at level `trace`: while nobody collects them, one costs the check of a flag. The
//! `switchboard` command exports them if `traces.endpoint` is set ([`TraceExport`]); an application collects them with a
//! `tracing-opentelemetry` layer of its own. A span begins the moment that something is asked and ends when it is answered. There is none
//! for a delivery: a message to a thousand members is one `append`.
//!
//! | span | its parent |
//! |---|---|
//! | a request over HTTP | the request's `traceparent` |
//! | `connect` | the request that connects, or the handshake's `traceparent` |
//! | a client's event | `connect`, if the handshake had a `traceparent`; otherwise none |
//! | `append`, `hook` | whatever they are for |

use std::fmt::Display;

use http::{HeaderMap, Method, StatusCode};
use tracing::{
    Level, Span, enabled,
    field::{Empty, display},
    trace_span,
};

mod settings;

// Two files with the same items: the one is empty.
#[cfg_attr(feature = "opentelemetry", path = "traces/opentelemetry.rs")]
#[cfg_attr(
    not(feature = "opentelemetry"),
    path = "traces/without_opentelemetry.rs"
)]
mod opentelemetry;

pub(crate) use opentelemetry::{TraceExport, TraceParent, add_headers};
pub use settings::TraceSettings;

/// The target of all spans.
pub(crate) const TARGET: &str = "switchboard::traces";

/// Why exporting traces cannot begin.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be exported: {0}")]
pub(crate) struct TraceExportError(pub(crate) String);

/// A request over HTTP. `route` is the pattern that its path matches, `id` what its log lines name it by.
pub(crate) fn http_request(
    method: &Method,
    (path, route): (&str, Option<&str>),
    id: &str,
    headers: &HeaderMap,
) -> Span {
    let route = route.unwrap_or_default();
    let span = trace_span!(
        target: TARGET,
        "request",
        otel.name = %format_args!("{method}{}{route}", if route.is_empty() { "" } else { " " }),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = %method,
        http.route = (!route.is_empty()).then_some(route),
        http.response.status_code = Empty,
        url.path = path,
        switchboard.request_id = id,
    );
    if !span.is_disabled() {
        TraceParent::read(headers).adopt(&span);
    }
    span
}

/// Records the status of the response to a request.
pub(crate) fn record_status(request: &Span, status: StatusCode) {
    request.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        request.record("otel.status_code", "ERROR");
    }
}

/// A client that connects to a namespace. `handshake` is its parent, unless the request that connects has a span.
pub(crate) fn connect(namespace: &dyn Display, handshake: &TraceParent) -> Span {
    let span = trace_span!(
        target: TARGET,
        "connect",
        otel.kind = "server",
        otel.status_code = Empty,
        error.type = Empty,
        switchboard.namespace = %namespace,
        switchboard.connection = Empty,
    );
    if !span.is_disabled() && !TraceParent::current().is_some() {
        handshake.adopt(&span);
    }
    span
}

/// Records which connection a client has got.
pub(crate) fn record_connection(connect: &Span, connection: &dyn Display) {
    connect.record("switchboard.connection", display(connection));
}

/// An event that a client has sent.
pub(crate) struct ClientEvent<'a> {
    /// What is asked for, as few different names as the contract has.
    pub(crate) name: &'static str,
    /// The event's own name.
    pub(crate) event: Option<&'a str>,
    /// The room that it is about.
    pub(crate) room: Option<&'a str>,
    /// Whose it is.
    pub(crate) connection: &'a dyn Display,
    /// The parent of all that its connection asks for.
    pub(crate) parent: &'a TraceParent,
}

impl ClientEvent<'_> {
    /// Its span.
    pub(crate) fn span(&self) -> Span {
        let span = trace_span!(
            target: TARGET,
            parent: None,
            "event",
            otel.name = self.name,
            otel.kind = "server",
            otel.status_code = Empty,
            error.type = Empty,
            switchboard.event = self.event,
            switchboard.room = self.room,
            switchboard.connection = %self.connection,
        );
        if !span.is_disabled() {
            self.parent.adopt(&span);
        }
        span
    }
}

/// A message on its way to the log.
pub(crate) fn append(room: &str) -> Span {
    trace_span!(
        target: TARGET,
        "append",
        otel.kind = "internal",
        otel.status_code = Empty,
        error.type = Empty,
        switchboard.room = room,
        switchboard.seq = Empty,
        switchboard.duplicate = Empty,
    )
}

/// Records where a message was stored.
pub(crate) fn record_appended(append: &Span, seq: u64, duplicate: bool) {
    // OpenTelemetry has no unsigned numbers.
    append.record("switchboard.seq", seq.cast_signed());
    append.record("switchboard.duplicate", duplicate);
}

/// A request about `topic` to a hook's endpoint, by the name that metrics have for it.
pub(crate) fn hook(topic: &'static str, endpoint: &str) -> Span {
    trace_span!(
        target: TARGET,
        "hook",
        otel.name = %format_args!("hook {topic}"),
        otel.kind = "client",
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = "POST",
        http.response.status_code = Empty,
        switchboard.endpoint = endpoint,
        switchboard.hook = topic,
    )
}

/// Records the status of an endpoint's response.
pub(crate) fn record_hook_status(hook: &Span, status: u16) {
    hook.record("http.response.status_code", i64::from(status));
}

/// The span that the present task is in; none while nobody collects spans.
pub(crate) fn current() -> Span {
    match enabled!(target: TARGET, Level::TRACE) {
        true => Span::current(),
        false => Span::none(),
    }
}

/// Records that what a span is for has failed, by a word of the error.
pub(crate) fn record_error(span: &Span, kind: &str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
}
