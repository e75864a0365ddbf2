//! What the server says about itself: metrics in Prometheus' text format, and logs.
//!
//! Metrics are values handed down, not globals: two servers in one process count apart. Names and help texts stand
//! here once; `/metrics` and the README's list come from them.

use std::{
    fmt::{self, Write as _},
    sync::Mutex,
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use crate::error::{Code, Error, Limit};

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

/// Every metric of one server.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Engine.IO sessions that are open.
    pub sessions: Gauge,
    /// Plain WebSockets that are open.
    pub websockets: Gauge,
    /// Streams of Server-Sent Events that are open.
    pub event_streams: Gauge,
    /// Polls that wait.
    pub polls: Gauge,
    /// Connections of users, through every door.
    pub connections: Gauge,
    /// Rooms with members on this node.
    pub rooms: Gauge,
    /// Memberships on this node.
    pub members: Gauge,
    /// Users in rooms of this node, counted once a room.
    pub present: Gauge,
    /// Users who are typing, counted once a room.
    pub typing: Gauge,
    /// Signals that wait for an answer.
    pub signals: Gauge,
    /// Messages stored.
    pub messages: Counter,
    /// Messages answered as repeats of an id.
    pub duplicates: Counter,
    /// Events that are not kept, passed on.
    pub ephemeral: Counter,
    /// Events handed to connections.
    pub deliveries: Counter,
    /// Events that are not kept, dropped for connections that were behind.
    pub dropped: Counter,
    /// Connections that are given what they have missed.
    pub catching_up: Gauge,
    /// Sessions that were resumed.
    pub recovered: Counter,
    /// Messages read again for connections that had missed them.
    pub replayed: Counter,
    append_seconds: Histogram,
    held_back_seconds: Histogram,
    errors: Family<ByCode, Counter>,
    limited: Family<ByLimit, Counter>,
    closed: Family<ByReason, Counter>,
    not_recovered: Family<ByReason, Counter>,
    answered: Family<ByRoute, Counter>,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("switchboard");
        let latencies = [
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
        ];
        let metrics = Self {
            sessions: Gauge::default(),
            websockets: Gauge::default(),
            event_streams: Gauge::default(),
            polls: Gauge::default(),
            connections: Gauge::default(),
            rooms: Gauge::default(),
            members: Gauge::default(),
            present: Gauge::default(),
            typing: Gauge::default(),
            signals: Gauge::default(),
            messages: Counter::default(),
            duplicates: Counter::default(),
            ephemeral: Counter::default(),
            deliveries: Counter::default(),
            dropped: Counter::default(),
            catching_up: Gauge::default(),
            recovered: Counter::default(),
            not_recovered: Family::default(),
            replayed: Counter::default(),
            append_seconds: Histogram::new(latencies),
            held_back_seconds: Histogram::new(latencies),
            errors: Family::default(),
            limited: Family::default(),
            closed: Family::default(),
            answered: Family::default(),
            registry: Mutex::new(Registry::default()),
        };
        metrics.register(&mut registry);
        // Every code and limit shows from the start, so that a dashboard can tell zero from unknown.
        for code in Code::ALL.map(Code::as_str) {
            metrics.errors.get_or_create(&ByCode { code }).inc_by(0);
        }
        for limit in Limit::ALL.map(Limit::name) {
            metrics.limited.get_or_create(&ByLimit { limit }).inc_by(0);
        }
        Self {
            registry: Mutex::new(registry),
            ..metrics
        }
    }

    fn register(&self, registry: &mut Registry) {
        self.register_doors(registry);
        registry.register(
            "rooms",
            "Rooms with members on this node",
            self.rooms.clone(),
        );
        registry.register("members", "Memberships on this node", self.members.clone());
        self.register_people(registry);
        self.register_recovery(registry);
        registry.register("messages", "Messages stored", self.messages.clone());
        registry.register(
            "duplicates",
            "Messages answered as repeats of an id",
            self.duplicates.clone(),
        );
        registry.register(
            "ephemeral_events",
            "Events that are not kept, passed on",
            self.ephemeral.clone(),
        );
        registry.register(
            "deliveries",
            "Events handed to connections",
            self.deliveries.clone(),
        );
        registry.register(
            "dropped",
            "Events that are not kept, dropped for connections that were behind",
            self.dropped.clone(),
        );
        registry.register_with_unit(
            "append",
            "Time from a message's arrival in order until it is stored",
            Unit::Seconds,
            self.append_seconds.clone(),
        );
        registry.register_with_unit(
            "held_back",
            "Time that a request waits because its sender is over a rate",
            Unit::Seconds,
            self.held_back_seconds.clone(),
        );
        registry.register("errors", "Errors answered to clients", self.errors.clone());
        registry.register(
            "limited",
            "Times a limit was reached, by its configuration name",
            self.limited.clone(),
        );
        registry.register(
            "connections_closed",
            "Connections closed by the server",
            self.closed.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to the API answered, by route and class of status",
            self.answered.clone(),
        );
    }

    fn register_doors(&self, registry: &mut Registry) {
        registry.register(
            "sessions",
            "Engine.IO sessions that are open",
            self.sessions.clone(),
        );
        registry.register(
            "websockets",
            "Plain WebSockets that are open",
            self.websockets.clone(),
        );
        registry.register(
            "event_streams",
            "Streams of Server-Sent Events that are open",
            self.event_streams.clone(),
        );
        registry.register("polls_waiting", "Polls that wait", self.polls.clone());
        registry.register(
            "connections",
            "Connections of users, through every door",
            self.connections.clone(),
        );
    }

    fn register_people(&self, registry: &mut Registry) {
        registry.register(
            "present_users",
            "Users in rooms of this node, counted once a room",
            self.present.clone(),
        );
        registry.register(
            "typing_users",
            "Users who are typing, counted once a room",
            self.typing.clone(),
        );
        registry.register(
            "signals_waiting",
            "Signals that wait for an answer",
            self.signals.clone(),
        );
    }

    fn register_recovery(&self, registry: &mut Registry) {
        registry.register(
            "connections_catching_up",
            "Connections that are given what they have missed",
            self.catching_up.clone(),
        );
        registry.register(
            "recoveries",
            "Sessions that were resumed",
            self.recovered.clone(),
        );
        registry.register(
            "recoveries_refused",
            "Sessions that were asked for and not resumed, by reason",
            self.not_recovered.clone(),
        );
        registry.register(
            "messages_replayed",
            "Messages read again for connections that had missed them",
            self.replayed.clone(),
        );
    }

    /// Counts a limit that was reached without an error being due.
    pub fn limited(&self, limit: Limit) {
        let limit = limit.name();
        self.limited.get_or_create(&ByLimit { limit }).inc();
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

    /// Records how long a request waits because its sender is over a rate.
    pub fn held_back(&self, wait: Duration) {
        self.held_back_seconds.observe(wait.as_secs_f64());
    }

    /// Records how long storing a message took.
    pub fn appended(&self, took: Duration) {
        self.append_seconds.observe(took.as_secs_f64());
    }

    /// Has the page show how it stands between this node and others, as `read` says whenever the page is made: whatever counts
    /// that knows no metrics.
    pub fn watch_nodes(&self, read: impl Fn() -> NodesSeen + Send + Sync + 'static) {
        let mut registry = self
            .registry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        registry.register_collector(Box::new(Nodes(Box::new(read))));
    }

    /// The exposition that `/metrics` serves.
    pub fn render(&self) -> String {
        let mut page = String::new();
        let registry = self
            .registry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if text::encode(&mut page, &registry).is_err() {
            let _ = writeln!(page, "# metrics could not be written");
        }
        page
    }
}

/// How it stands between this node and others.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodesSeen {
    /// Nodes that can be reached now, this one included.
    pub nodes: u32,
    /// Words to other nodes that were dropped, so far.
    pub dropped: u64,
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
        let nodes = ConstGauge::new(i64::from(nodes));
        let metric = encoder.encode_descriptor(
            "nodes",
            "Nodes that can be reached now, this one included",
            None,
            nodes.metric_type(),
        )?;
        nodes.encode(metric)?;
        let dropped = ConstCounter::new(dropped);
        let metric = encoder.encode_descriptor(
            "words_dropped",
            "Words to other nodes (events that applications emit, questions, answers) that were dropped",
            None,
            dropped.metric_type(),
        )?;
        dropped.encode(metric)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_stands_on_the_page() {
        let metrics = Metrics::new();
        metrics.messages.inc_by(3);
        metrics.error(&Error::new(Code::TooLarge, "").for_limit(Limit::MessageBytes));
        metrics.watch_nodes(|| NodesSeen {
            nodes: 3,
            dropped: 7,
        });
        let page = metrics.render();
        for line in [
            "switchboard_nodes 3",
            "switchboard_words_dropped_total 7",
            "switchboard_messages_total 3",
            "switchboard_limited_total{limit=\"message_bytes\"} 1",
            "switchboard_errors_total{code=\"too_large\"} 1",
            "switchboard_errors_total{code=\"internal\"} 0",
        ] {
            assert!(page.contains(line), "{line} missing in\n{page}");
        }
    }
}
