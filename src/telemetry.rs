//! Metrics in the Prometheus text format.
//!
//! Metrics are values that are passed down, not globals, so two servers in one process count separately. Names and help texts
//! are defined here once; `/metrics` and the list in `docs/metrics.md` are generated from them.

use std::{
    fmt::{self, Write as _},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::{EncodeMetric, text},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::{
    error::{Code, Error, Limit},
    sync::lock,
};

mod collectors;
mod exposition;
mod history;
mod hooks;
mod labels;
mod metric_info;
mod process;
mod reference;
mod totals;

use collectors::{ClusterCollector, ReadinessCollector};
pub use collectors::{ClusterStats, ReadinessChecks};
use exposition::Exposition;
pub use history::{Columns, History, SAMPLE_INTERVAL, Sample};
pub use hooks::{EndpointMetrics, InFlightCall, NotifyMetrics};
use labels::{ByCertificate, ByCode, ByEndpoint, ByLimit, ByOutcome, ByReason, ByRoute, BySystem};
use metric_info::{
    APPLICATION, DOCUMENTS, EVENTS, MetricInfo, POLL, REST, SOCKETIO, Trigger, WEBSOCKET,
};
pub use reference::table;
pub use totals::Totals;

/// The reason for dropping an ephemeral event: it is too late.
pub const BEHIND: &str = "behind";
/// The reason for dropping an ephemeral event: a newer one replaces it.
pub const NEWER: &str = "newer";

/// A value that can increase and decrease.
pub type Gauge = prometheus_client::metrics::gauge::Gauge;

/// All transports with a persistent connection.
const CONNECTIONS: &[Trigger] = &[SOCKETIO, WEBSOCKET, EVENTS];
/// All transports with a persistent connection that can send requests.
const BOTH_WAYS: &[Trigger] = &[SOCKETIO, WEBSOCKET];
/// Everything that can send to a room.
const SENDERS: &[Trigger] = &[SOCKETIO, WEBSOCKET, REST, APPLICATION];
/// Everything whose requests can fail.
const CLIENTS: &[Trigger] = &[SOCKETIO, WEBSOCKET, EVENTS, POLL, REST];

/// Declares each metric once: its help text, field, name, labels, and what changes it.
macro_rules! catalogue {
    ($(
        #[doc = $help:literal]
        $visibility:vis $field:ident: $type:ty $(= $init:expr)?, $name:literal $labels:expr, $triggers:expr;
    )+) => {
        /// Every metric of one server.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Mutex<Registry>,
            process: Registry,
            scrape_hooks: Mutex<Vec<ScrapeHook>>,
            history: Mutex<History>,
            $(#[doc = $help] $visibility $field: $type,)+
        }

        impl Metrics {
            /// All metrics, at zero.
            fn unlabelled() -> Self {
                let mut registry = Registry::with_prefix(PREFIX);
                $(
                    let $field: $type = catalogue!(@init $($init)?);
                    registry.register($name, sentence($help), $field.clone());
                )+
                Self {
                    registry: Mutex::new(registry),
                    process: process::registry(),
                    scrape_hooks: Mutex::default(),
                    history: Mutex::default(),
                    $($field,)+
                }
            }

            /// The descriptions of all metrics, in declaration order.
            fn infos(&self) -> Vec<MetricInfo> {
                vec![$(MetricInfo {
                    name: $name,
                    help: sentence($help),
                    kind: self.$field.metric_type(),
                    labels: &$labels,
                    triggers: $triggers,
                },)+]
            }
        }
    };
    (@init $init:expr) => { $init };
    (@init) => { Default::default() };
}

catalogue! {
    /// Open Engine.IO sessions.
    pub sessions: Gauge, "sessions" [], &[SOCKETIO];
    /// Open WebSockets, plain ones and those of documents.
    pub websockets: Gauge, "websockets" [], &[WEBSOCKET, DOCUMENTS];
    /// Open streams of Server-Sent Events.
    pub event_streams: Gauge, "event_streams" [], &[EVENTS];
    /// Waiting polls.
    pub polls: Gauge, "polls_waiting" [], &[POLL];
    /// Handshakes in progress: clients in the admission queue, and sessions that have not joined a namespace.
    pub handshakes: Gauge, "handshakes" [], &[SOCKETIO];
    /// TCP connections without a request.
    pub idle_connections: Gauge, "idle_connections" [], CLIENTS;
    /// Connections of a trusted proxy that were closed because they did not begin with a header of the PROXY protocol.
    pub proxy_headers_refused: Counter, "proxy_headers_refused" [], &[];
    /// TLS handshakes completed.
    pub tls_handshakes: Counter, "tls_handshakes" [], &[];
    /// TLS handshakes that failed: the client did not speak TLS (`not_tls`), had nothing in common with the server or did not trust it (`handshake`), or took too long (`timeout`).
    tls_failed: Family<ByReason, Counter>, "tls_handshakes_failed" ["reason"], &[];
    /// When a certificate of the server expires, in seconds since 1970.
    tls_not_after: Family<ByCertificate, Gauge>, "tls_certificate_not_after_seconds" ["certificate"], &[];
    /// Times that other certificates came into force while the server runs.
    pub tls_reloads: Counter, "tls_reloads" [], &[];
    /// Whether the certificates in the files cannot be used, so that earlier ones stay in force: 1 if so.
    pub tls_refused: Gauge, "tls_certificates_refused" [], &[];
    /// Connections of users, over all transports.
    pub connections: Gauge, "connections" [], CONNECTIONS;
    /// Connections of users opened since the start, over all transports; one that resumes a session after its grace counts anew.
    pub connections_opened: Counter, "connections_opened" [], CONNECTIONS;
    /// Bytes that clients have sent over WebSocket and Socket.IO's polling, without what HTTP and TLS add.
    pub received_bytes: Counter, "received_bytes" [], BOTH_WAYS;
    /// Bytes that clients have taken over WebSocket, Socket.IO's polling and event streams, without what HTTP and TLS add.
    pub sent_bytes: Counter, "sent_bytes" [], CONNECTIONS;
    /// Rooms in use on this node: with members or waiting polls.
    pub rooms: Gauge, "rooms" [], &[SOCKETIO, WEBSOCKET, EVENTS, POLL];
    /// Memberships on this node.
    pub members: Gauge, "members" [], CONNECTIONS;
    /// Users in rooms of this node, counted once a room.
    pub present: Gauge, "present_users" [], CONNECTIONS;
    /// Users who are typing, counted once a room.
    pub typing: Gauge, "typing_users" [], BOTH_WAYS;
    /// Signals that wait for an answer.
    pub signals: Gauge, "signals_waiting" [], &[SOCKETIO];
    /// Messages stored that were sent through this node.
    pub messages: Counter, "messages" [], SENDERS;
    /// Messages deduplicated by their id.
    pub duplicates: Counter, "duplicates" [], SENDERS;
    /// Ephemeral events sent through this node, relayed events included.
    pub ephemeral: Counter, "ephemeral_events" [], SENDERS;
    /// Events of rooms delivered to connections.
    pub deliveries: Counter, "deliveries" [], CONNECTIONS;
    /// Ephemeral events dropped for connections that were behind: too late (`behind`), or replaced by a newer one (`newer`).
    dropped: Family<ByReason, Counter>, "dropped" ["reason"], CONNECTIONS;
    /// Messages of emitters over the same Redis that this node has taken, by system: `socket.io` or `python-socketio`. Every node takes all of them.
    emitter_messages: Family<BySystem, Counter>, "emitter_messages" ["system"], &[];
    /// Messages of emitters that this node has refused, by reason: `too_large`, `too_deep`, `too_many` arguments, rooms or attachments, `malformed`, `event_name`, `pickle`, or `unknown` requests and methods.
    emitter_refused: Family<ByReason, Counter>, "emitter_messages_refused" ["reason"], &[];
    /// Events that this node has published for servers of Socket.IO for Node over the same Redis.
    pub emitter_published: Counter, "emitter_events_published" [], &[];
    /// Bytes in the send queues of all clients.
    pub send_queue: Gauge, "send_queue_bytes" [], CONNECTIONS;
    /// Connections that are catching up on missed messages.
    pub catching_up: Gauge, "connections_catching_up" [], CONNECTIONS;
    /// Sessions resumed.
    pub recovered: Counter, "recoveries" [], &[SOCKETIO];
    /// Sessions that a client asked to resume and that were not, by reason.
    not_recovered: Family<ByReason, Counter>, "recoveries_refused" ["reason"], &[SOCKETIO];
    /// Messages read from the log for connections that had missed them.
    pub replayed: Counter, "messages_replayed" [], CONNECTIONS;
    /// Time from receiving a message until it is stored.
    append_seconds: Histogram = Histogram::new(LATENCIES), "append_seconds" [], SENDERS;
    /// Time that a request is delayed because its sender exceeds a rate.
    held_back_seconds: Histogram = Histogram::new(LATENCIES), "held_back_seconds" [], CONNECTIONS;
    /// Errors sent to clients.
    errors: Family<ByCode, Counter>, "errors" ["code"], CLIENTS;
    /// Documents that clients of this node have open.
    pub documents_open: Gauge, "documents_open" [], &[DOCUMENTS];
    /// Updates of documents stored that were sent through this node.
    pub document_updates: Counter, "document_updates" [], &[DOCUMENTS, REST];
    /// Documents compacted by this node.
    pub document_compactions: Counter, "document_compactions" [], &[DOCUMENTS];
    /// Times that a limit was reached, by its configuration name.
    limited: Family<ByLimit, Counter>, "limited" ["limit"], CLIENTS;
    /// Connections closed by the server.
    closed: Family<ByReason, Counter>, "connections_closed" ["reason"], CONNECTIONS;
    /// Bytes of `limits.memory` in use.
    pub memory_held: Gauge, "memory_held_bytes" [], &[];
    /// Size of `limits.memory` in bytes; 0 is unlimited.
    pub memory_size: Gauge, "memory_size_bytes" [], &[];
    /// Calls of hooks, by endpoint and outcome: `answered`, `denied`, or why there was no reply.
    hook_calls: Family<ByOutcome, Counter>, "hook_calls" ["endpoint", "outcome"], &[];
    /// Time until the reply to a call of a hook has been read, or until the call has failed.
    hook_call_seconds: Family<ByEndpoint, Histogram> = Family::new_with_constructor(|| Histogram::new(LATENCIES)), "hook_call_seconds" ["endpoint"], &[];
    /// Calls of hooks under way.
    hook_calls_in_flight: Family<ByEndpoint, Gauge>, "hook_calls_in_flight" ["endpoint"], &[];
    /// Calls of hooks that wait because `concurrency` calls are under way.
    hook_calls_waiting: Family<ByEndpoint, Gauge>, "hook_calls_waiting" ["endpoint"], &[];
    /// Whether an endpoint is not asked now, because most of its calls have failed: 1 if so.
    hook_breaker_open: Family<ByEndpoint, Gauge>, "hook_breaker_open" ["endpoint"], &[];
    /// Times that an endpoint was not asked any more, because most of its calls had failed.
    hook_breaker_opened: Family<ByEndpoint, Counter>, "hook_breaker_opened" ["endpoint"], &[];
    /// Events of notifications, by endpoint and outcome: `delivered` or `lost`.
    hook_notifications: Family<ByOutcome, Counter>, "hook_notifications" ["endpoint", "outcome"], &[];
    /// Batches of notifications, by endpoint and outcome: `delivered`, or why they were not taken. Each attempt counts.
    hook_batches: Family<ByOutcome, Counter>, "hook_batches" ["endpoint", "outcome"], &[];
    /// Time of an attempt to send a batch of notifications.
    hook_batch_seconds: Family<ByEndpoint, Histogram> = Family::new_with_constructor(|| Histogram::new(LATENCIES)), "hook_batch_seconds" ["endpoint"], &[];
    /// Events that an endpoint was not told of yet, at most; 0 on nodes that do not send to it. Set every 5 s.
    hook_behind: Family<ByEndpoint, Gauge>, "hook_behind_events" ["endpoint"], &[];
    /// Age of the first of them, in seconds.
    hook_behind_seconds: Family<ByEndpoint, Gauge>, "hook_behind_seconds" ["endpoint"], &[];
    /// Whether an endpoint has responded with 410 and is told nothing: 1 if so.
    hook_stopped: Family<ByEndpoint, Gauge>, "hook_stopped" ["endpoint"], &[];
    /// Responses of the REST API, by route and status class.
    answered: Family<ByRoute, Counter>, "api_requests" ["route", "status"], &[REST];
}

/// The prefix of every name.
const PREFIX: &str = "switchboard";

/// The bucket bounds of the histograms, in seconds.
const LATENCIES: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Self {
        let metrics = Self::unlabelled();
        // Every label value is exported from the start, so that a dashboard can tell zero from unknown.
        for code in Code::ALL.map(Code::as_str) {
            metrics.errors.get_or_create(&ByCode { code }).inc_by(0);
        }
        for limit in Limit::ALL.map(Limit::name) {
            metrics.limited.get_or_create(&ByLimit { limit }).inc_by(0);
        }
        for reason in [BEHIND, NEWER] {
            metrics.dropped(reason, 0);
        }
        for reason in ["not_tls", "handshake", "timeout"] {
            metrics
                .tls_failed
                .get_or_create(&ByReason { reason })
                .inc_by(0);
        }
        metrics
    }

    /// Counts a message that was stored, or a duplicate of one, and observes how long that took.
    pub fn appended(&self, duplicate: bool, took: Duration) {
        match duplicate {
            true => self.duplicates.inc(),
            false => self.messages.inc(),
        };
        self.append_seconds.observe(took.as_secs_f64());
    }

    /// Observes how long a request is delayed because its sender exceeds a rate.
    pub fn held_back(&self, wait: Duration) {
        self.held_back_seconds.observe(wait.as_secs_f64());
    }

    /// Counts ephemeral events that were dropped for a connection that is behind.
    pub fn dropped(&self, reason: &'static str, events: u64) {
        let dropped = self.dropped.get_or_create(&ByReason { reason });
        dropped.inc_by(events);
    }

    /// Counts a limit that was reached without an error to the client.
    pub fn limited(&self, limit: Limit) {
        self.limited_by(limit, 1);
    }

    /// Counts a limit that was reached `times` times without an error to the client.
    pub fn limited_by(&self, limit: Limit, times: u64) {
        if times > 0 {
            let limit = limit.name();
            self.limited.get_or_create(&ByLimit { limit }).inc_by(times);
        }
    }

    /// Counts an error that was sent to a client, and the limit that it names.
    pub fn error(&self, error: &Error) {
        let code = error.code().as_str();
        self.errors.get_or_create(&ByCode { code }).inc();
        if let Some(limit) = error.limit() {
            self.limited(limit);
        }
    }

    /// Counts a message of an emitter that was taken.
    pub fn emitter_message(&self, system: &'static str) {
        let taken = self.emitter_messages.get_or_create(&BySystem { system });
        taken.inc();
    }

    /// Counts a message of an emitter that was refused.
    pub fn emitter_refused(&self, reason: &'static str) {
        let refused = self.emitter_refused.get_or_create(&ByReason { reason });
        refused.inc();
    }

    /// Exports what is counted of emitters from the start.
    pub(crate) fn show_emitters(&self, systems: &[&'static str], reasons: &[&'static str]) {
        for system in systems {
            let taken = self.emitter_messages.get_or_create(&BySystem { system });
            taken.inc_by(0);
        }
        for reason in reasons {
            let refused = self.emitter_refused.get_or_create(&ByReason { reason });
            refused.inc_by(0);
        }
    }

    /// Counts a session that a client asked to resume and that was not resumed.
    pub fn not_recovered(&self, reason: &'static str) {
        let reasons = &self.not_recovered;
        reasons.get_or_create(&ByReason { reason }).inc();
    }

    /// Exports every reason from the start.
    pub(crate) fn show_not_recovered(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            let counter = self.not_recovered.get_or_create(&ByReason { reason });
            counter.inc_by(0);
        }
    }

    /// Counts a TLS handshake that failed.
    pub fn tls_failed(&self, reason: &'static str) {
        self.tls_failed.get_or_create(&ByReason { reason }).inc();
    }

    /// Exports when each certificate expires, in seconds since 1970, instead of those exported before.
    pub fn set_tls_certificates(&self, ends: impl Iterator<Item = (String, u64)>) {
        self.tls_not_after.clear();
        for (certificate, end) in ends {
            let gauge = self
                .tls_not_after
                .get_or_create(&ByCertificate { certificate });
            gauge.set(i64::try_from(end).unwrap_or(i64::MAX));
        }
    }

    /// Counts a connection that the server closed.
    pub fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&ByReason { reason }).inc();
    }

    /// Counts a response of the REST API, by route pattern, so that made-up paths add no labels.
    pub fn answered(&self, route: &str, status: u16) {
        let status = match status {
            0..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        let route = route.to_owned();
        let by = ByRoute { route, status };
        self.answered.get_or_create(&by).inc();
    }

    /// Exports the state of the cluster, which `read` returns on each scrape.
    pub fn collect_cluster(&self, read: impl Fn() -> ClusterStats + Send + Sync + 'static) {
        let mut registry = lock(&self.registry);
        registry.register_collector(Box::new(ClusterCollector(Box::new(read))));
    }

    /// Calls `update` on each scrape, to set gauges from what is counted elsewhere anyway.
    pub fn on_scrape(&self, update: impl Fn() + Send + Sync + 'static) {
        lock(&self.scrape_hooks).push(ScrapeHook(Box::new(update)));
    }

    /// Exports the readiness checks, which `read` returns on each scrape.
    pub fn collect_readiness(&self, read: impl Fn() -> ReadinessChecks + Send + Sync + 'static) {
        let mut registry = lock(&self.registry);
        registry.register_collector(Box::new(ReadinessCollector(Box::new(read))));
    }

    /// Renders the exposition that `/metrics` serves.
    pub fn render(&self) -> String {
        lock(&self.scrape_hooks).iter().for_each(|hook| (hook.0)());
        let mut page = String::new();
        let registry = lock(&self.registry);
        let encoded = text::encode_registry(&mut page, &registry)
            .and_then(|()| text::encode_registry(&mut page, &self.process))
            .and_then(|()| text::encode_eof(&mut page));
        if encoded.is_err() {
            let _ = writeln!(page, "# encoding the metrics failed");
        }
        page
    }

    /// Adds a sample to the history; `ts` is the time of day in milliseconds since the Unix epoch.
    pub fn sample(&self, now: Instant, ts: u64) {
        let page = self.render();
        self.history().add(&page, now, ts);
    }

    /// The samples of the last hour.
    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// What was counted since the start.
    pub fn totals(&self) -> Totals {
        Totals::of(&Exposition::parse(&self.render()))
    }
}

/// Updates gauges before a scrape.
struct ScrapeHook(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for ScrapeHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScrapeHook")
    }
}

/// Converts a doc comment to a help text.
fn sentence(comment: &'static str) -> &'static str {
    comment.trim().trim_end_matches('.')
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
