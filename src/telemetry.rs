//! What the server says about itself: metrics in Prometheus' text format, and logs.
//!
//! Metrics are values handed down, not globals: two servers in one process count apart. Names and help texts stand
//! here once; `/metrics` and the list in `docs/metrics.md` come from them.

use std::{
    fmt::{self, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::error::{Code, Error, Limit};

/// Why an event is dropped: it is too late by now.
pub const BEHIND: &str = "behind";
/// Why an event is dropped: a newer one takes its place.
pub const NEWER: &str = "newer";

/// A number that goes up and down.
pub type Gauge = prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLimit {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    route: String,
    status: &'static str,
}

/// A metric as the documentation lists it.
struct Described {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    labels: &'static [&'static str],
    ways: &'static [Way],
}

/// What can move a metric.
type Way = &'static str;

const SOCKETIO: Way = "Socket.IO";
const WEBSOCKET: Way = "`/ws`";
const EVENTS: Way = "`/events`";
const POLL: Way = "`/poll`";
const REST: Way = "`/v1`";
const APPLICATION: Way = "application";
const NODES: Way = "other nodes";

/// By every transport that keeps a connection.
const CONNECTIONS: &[Way] = &[SOCKETIO, WEBSOCKET, EVENTS];
/// By every transport that keeps a connection and can ask for something.
const BOTH_WAYS: &[Way] = &[SOCKETIO, WEBSOCKET];
/// By all that can send to a room.
const SENDERS: &[Way] = &[SOCKETIO, WEBSOCKET, REST, APPLICATION];
/// By all that can be refused.
const CLIENTS: &[Way] = &[SOCKETIO, WEBSOCKET, EVENTS, POLL, REST];

/// Declares each metric once: what it counts, its field, its name, its labels, and all that moves it.
macro_rules! catalogue {
    ($(
        #[doc = $help:literal]
        $seen:vis $field:ident: $type:ty $(= $init:expr)?, $name:literal $labels:expr, $ways:expr;
    )+) => {
        /// Every metric of one server.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Mutex<Registry>,
            watched: Mutex<Vec<Watched>>,
            $(#[doc = $help] $seen $field: $type,)+
        }

        impl Metrics {
            /// All at zero.
            fn unlabelled() -> Self {
                let mut registry = Registry::with_prefix(PREFIX);
                $(
                    let $field: $type = catalogue!(@init $($init)?);
                    registry.register($name, sentence($help), $field.clone());
                )+
                Self { registry: Mutex::new(registry), watched: Mutex::default(), $($field,)+ }
            }

            /// All of them, in the order in which they are declared.
            fn described(&self) -> Vec<Described> {
                vec![$(Described {
                    name: $name,
                    help: sentence($help),
                    kind: self.$field.metric_type(),
                    labels: &$labels,
                    ways: $ways,
                },)+]
            }
        }
    };
    (@init $init:expr) => { $init };
    (@init) => { Default::default() };
}

catalogue! {
    /// Engine.IO sessions that are open.
    pub sessions: Gauge, "sessions" [], &[SOCKETIO];
    /// Plain WebSockets that are open.
    pub websockets: Gauge, "websockets" [], &[WEBSOCKET];
    /// Streams of Server-Sent Events that are open.
    pub event_streams: Gauge, "event_streams" [], &[EVENTS];
    /// Polls that wait.
    pub polls: Gauge, "polls_waiting" [], &[POLL];
    /// Handshakes that are under way: clients that wait for their turn, and sessions that have not joined a namespace.
    pub handshakes: Gauge, "handshakes" [], &[SOCKETIO];
    /// TCP connections without a request.
    pub idle_connections: Gauge, "idle_connections" [], CLIENTS;
    /// Connections of users, through every door.
    pub connections: Gauge, "connections" [], CONNECTIONS;
    /// Rooms that are in use on this node: with members, or with polls that wait.
    pub rooms: Gauge, "rooms" [], &[SOCKETIO, WEBSOCKET, EVENTS, POLL];
    /// Memberships on this node.
    pub members: Gauge, "members" [], CONNECTIONS;
    /// Users in rooms of this node, counted once a room.
    pub present: Gauge, "present_users" [], CONNECTIONS;
    /// Users who are typing, counted once a room.
    pub typing: Gauge, "typing_users" [], BOTH_WAYS;
    /// Signals that wait for an answer.
    pub signals: Gauge, "signals_waiting" [], &[SOCKETIO];
    /// Messages stored that came in by this node.
    pub messages: Counter, "messages" [], SENDERS;
    /// Messages answered as repeats of an id.
    pub duplicates: Counter, "duplicates" [], SENDERS;
    /// Events that are not kept, passed on from this node, relayed ones among them.
    pub ephemeral: Counter, "ephemeral_events" [], SENDERS;
    /// Events of rooms handed to connections.
    pub deliveries: Counter, "deliveries" [], CONNECTIONS;
    /// Events that are not kept, dropped for connections that were behind: as too late (`behind`), or for a newer one (`newer`).
    dropped: Family<ByReason, Counter>, "dropped" ["reason"], CONNECTIONS;
    /// Connections that are given what they have missed.
    pub catching_up: Gauge, "connections_catching_up" [], CONNECTIONS;
    /// Sessions that were resumed.
    pub recovered: Counter, "recoveries" [], &[SOCKETIO];
    /// Sessions that were asked for and not resumed, by reason.
    not_recovered: Family<ByReason, Counter>, "recoveries_refused" ["reason"], &[SOCKETIO];
    /// Messages read again for connections that had missed them.
    pub replayed: Counter, "messages_replayed" [], CONNECTIONS;
    /// Time from a message's arrival in order until it is stored.
    append_seconds: Histogram = Histogram::new(LATENCIES), "append_seconds" [], SENDERS;
    /// Time that a request waits because its sender is over a rate.
    held_back_seconds: Histogram = Histogram::new(LATENCIES), "held_back_seconds" [], CONNECTIONS;
    /// Errors answered to clients.
    errors: Family<ByCode, Counter>, "errors" ["code"], CLIENTS;
    /// Times a limit was reached, by its configuration name.
    limited: Family<ByLimit, Counter>, "limited" ["limit"], CLIENTS;
    /// Connections closed by the server.
    closed: Family<ByReason, Counter>, "connections_closed" ["reason"], CONNECTIONS;
    /// Bytes of `limits.memory` that are held now.
    pub memory_held: Gauge, "memory_held_bytes" [], &[];
    /// Bytes of `limits.memory` in all; 0: no limit.
    pub memory_size: Gauge, "memory_size_bytes" [], &[];
    /// Requests to the API answered, by route and class of status.
    answered: Family<ByRoute, Counter>, "api_requests" ["route", "status"], &[REST];
}

/// What every name begins with.
const PREFIX: &str = "switchboard";

/// Bounds of the histograms, in seconds.
const LATENCIES: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let metrics = Self::unlabelled();
        // Every code, limit and reason shows from the start, so that a dashboard can tell zero from unknown.
        for code in Code::ALL.map(Code::as_str) {
            metrics.errors.get_or_create(&ByCode { code }).inc_by(0);
        }
        for limit in Limit::ALL.map(Limit::name) {
            metrics.limited.get_or_create(&ByLimit { limit }).inc_by(0);
        }
        for reason in [BEHIND, NEWER] {
            metrics.dropped(reason, 0);
        }
        metrics
    }

    /// Counts a message that is stored, or was before, and how long that took.
    pub fn appended(&self, duplicate: bool, took: Duration) {
        match duplicate {
            true => self.duplicates.inc(),
            false => self.messages.inc(),
        };
        self.append_seconds.observe(took.as_secs_f64());
    }

    /// Records how long a request waits because its sender is over a rate.
    pub fn held_back(&self, wait: Duration) {
        self.held_back_seconds.observe(wait.as_secs_f64());
    }

    /// Counts events that a connection which is behind will not get.
    pub fn dropped(&self, reason: &'static str, events: u64) {
        let dropped = self.dropped.get_or_create(&ByReason { reason });
        dropped.inc_by(events);
    }

    /// Counts a limit that was reached without an error being due.
    pub fn limited(&self, limit: Limit) {
        self.limited_by(limit, 1);
    }

    /// Counts a limit that was reached so many times without an error being due.
    pub fn limited_by(&self, limit: Limit, times: u64) {
        if times > 0 {
            let limit = limit.name();
            self.limited.get_or_create(&ByLimit { limit }).inc_by(times);
        }
    }

    /// Counts an error that a client was told, and the limit that it is about.
    pub fn error(&self, error: &Error) {
        let code = error.code().as_str();
        self.errors.get_or_create(&ByCode { code }).inc();
        if let Some(limit) = error.limit() {
            self.limited(limit);
        }
    }

    /// Counts a session that a client named and that did not go on.
    pub fn not_recovered(&self, reason: &'static str) {
        let reasons = &self.not_recovered;
        reasons.get_or_create(&ByReason { reason }).inc();
    }

    /// Has every reason show from the start.
    pub(crate) fn show_not_recovered(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            let counter = self.not_recovered.get_or_create(&ByReason { reason });
            counter.inc_by(0);
        }
    }

    /// Counts a connection that the server closed.
    pub fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&ByReason { reason }).inc();
    }

    /// Counts an answer of the API's: to whatever a route matches, so that what clients make up adds nothing.
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

    /// Has the page show how it stands between this node and others, as `read` says whenever the page is made: whatever counts
    /// that knows no metrics.
    pub fn watch_nodes(&self, read: impl Fn() -> NodesSeen + Send + Sync + 'static) {
        let mut registry = lock(&self.registry);
        registry.register_collector(Box::new(Nodes(Box::new(read))));
    }

    /// Has `read` bring a gauge up to date whenever the page is made: what counts anyway need not count twice.
    pub fn watch(&self, read: impl Fn() + Send + Sync + 'static) {
        lock(&self.watched).push(Watched(Box::new(read)));
    }

    /// Has the page show what works of that which has to, as `read` says whenever the page is made.
    pub fn watch_ready(&self, read: impl Fn() -> ChecksSeen + Send + Sync + 'static) {
        let mut registry = lock(&self.registry);
        registry.register_collector(Box::new(Ready(Box::new(read))));
    }

    /// The exposition that `/metrics` serves.
    pub fn render(&self) -> String {
        lock(&self.watched).iter().for_each(|watched| (watched.0)());
        let mut page = String::new();
        let registry = lock(&self.registry);
        if text::encode(&mut page, &registry).is_err() {
            let _ = writeln!(page, "# metrics could not be written");
        }
        page
    }
}

/// What brings a gauge up to date.
struct Watched(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How it stands between this node and others.
#[derive(Clone, Debug, Default)]
pub struct NodesSeen {
    /// Nodes that can be reached now, this one included.
    pub nodes: u32,
    /// Words to and from other nodes that were dropped, so far, by reason.
    pub dropped: Vec<(&'static str, u64)>,
}

/// How that is shown.
const NODES_SHOWN: [Described; 2] = [
    Described {
        name: "nodes",
        help: "Nodes that can be reached now, this one included",
        kind: MetricType::Gauge,
        labels: &[],
        ways: &[NODES],
    },
    Described {
        name: "words_dropped",
        help: "Words between nodes (events that applications emit, relayed ones, questions, answers) that were dropped: too many waited (`full`), too many came (`overrun`), Redis answered with an error (`refused`), the connection was lost (`lost`)",
        kind: MetricType::Counter,
        labels: &["reason"],
        ways: &[NODES],
    },
];

/// What has to work, and whether it does.
pub type ChecksSeen = Vec<(&'static str, bool)>;

/// How that is shown.
const READY_SHOWN: Described = Described {
    name: "ready",
    help: "Whether this works (1) or fails (0), which makes the node unready: storing messages (`write`), reading them from the embedded log (`read`), hearing what other nodes publish (`subscribe`), having a key to check tokens with (`keys`)",
    kind: MetricType::Gauge,
    labels: &["check"],
    ways: &[],
};

struct Ready(Box<dyn Fn() -> ChecksSeen + Send + Sync>);

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ready")
    }
}

impl Collector for Ready {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Described {
            name, help, kind, ..
        } = READY_SHOWN;
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for (check, works) in (self.0)() {
            let labels = [("check", check)];
            ConstGauge::new(i64::from(works)).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

struct Nodes(Box<dyn Fn() -> NodesSeen + Send + Sync>);

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nodes")
    }
}

impl Collector for Nodes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let NodesSeen { nodes, dropped } = (self.0)();
        let [shown, lost] = NODES_SHOWN;
        let metric = encoder.encode_descriptor(shown.name, shown.help, None, shown.kind)?;
        ConstGauge::new(i64::from(nodes)).encode(metric)?;
        let mut metric = encoder.encode_descriptor(lost.name, lost.help, None, lost.kind)?;
        for (reason, count) in dropped {
            let labels = [("reason", reason)];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// The documentation's table: every metric, what it counts, its labels, and what moves it.
pub fn table() -> String {
    let mut table =
        String::from("| metric | kind | labels | counts | moved by |\n|---|---|---|---|---|\n");
    let metrics = Metrics::unlabelled().described();
    for metric in metrics.into_iter().chain(NODES_SHOWN).chain([READY_SHOWN]) {
        let (kind, total) = match metric.kind {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Histogram => ("histogram", ""),
            _ => ("gauge", ""),
        };
        let labels: Vec<_> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
        let _ = writeln!(
            table,
            "| `{PREFIX}_{}{total}` | {kind} | {} | {} | {} |",
            metric.name,
            labels.join(", "),
            metric.help,
            metric.ways.join(", ")
        );
    }
    table
}

/// A comment as the exposition has it.
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
