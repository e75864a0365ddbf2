//! What is known of a metric besides its value.

use prometheus_client::metrics::MetricType;

/// The description of a metric, for the documentation.
pub(super) struct MetricInfo {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: MetricType,
    pub(super) labels: &'static [&'static str],
    pub(super) triggers: &'static [Trigger],
}

/// What can change a metric: a transport, an API, or another node.
pub(super) type Trigger = &'static str;

pub(super) const SOCKETIO: Trigger = "Socket.IO";
pub(super) const WEBSOCKET: Trigger = "`/ws`";
pub(super) const EVENTS: Trigger = "`/events`";
pub(super) const POLL: Trigger = "`/poll`";
pub(super) const REST: Trigger = "`/v1`";
pub(super) const APPLICATION: Trigger = "application";
pub(super) const DOCUMENTS: Trigger = "documents";
pub(super) const NODES: Trigger = "other nodes";
