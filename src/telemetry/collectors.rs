//! Metrics whose values are read from elsewhere on each scrape: the state of the cluster, and the readiness checks.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::metric_info::{MetricInfo, NODES};

/// The state of the cluster as this node sees it.
#[derive(Clone, Debug, Default)]
pub struct ClusterStats {
    /// Reachable nodes, this one included.
    pub nodes: u32,
    /// Pub/Sub messages dropped so far, by reason.
    pub dropped: Vec<(&'static str, u64)>,
}

/// The metrics of the cluster.
pub(super) const CLUSTER_METRICS: [MetricInfo; 2] = [
    MetricInfo {
        name: "nodes",
        help: "Reachable nodes, this one included",
        kind: MetricType::Gauge,
        labels: &[],
        triggers: &[NODES],
    },
    MetricInfo {
        name: "words_dropped",
        help: "Pub/Sub messages between nodes (events that applications emit, ephemeral and relayed events, requests, responses) that were dropped: the send queue was full (`full`), the receive queue was full (`overrun`), Redis returned an error (`refused`), the connection was lost (`lost`)",
        kind: MetricType::Counter,
        labels: &["reason"],
        triggers: &[NODES],
    },
];

/// The readiness checks, and whether each passes.
pub type ReadinessChecks = Vec<(&'static str, bool)>;

/// The metric of the readiness checks.
pub(super) const READY_METRIC: MetricInfo = MetricInfo {
    name: "ready",
    help: "Whether a readiness check passes (1) or fails (0): storing messages (`write`), reading them from the embedded log (`read`), receiving what other nodes publish (`subscribe`), having keys to verify tokens with (`keys`)",
    kind: MetricType::Gauge,
    labels: &["check"],
    triggers: &[],
};

pub(super) struct ReadinessCollector(pub(super) Box<dyn Fn() -> ReadinessChecks + Send + Sync>);

impl fmt::Debug for ReadinessCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadinessCollector")
    }
}

impl Collector for ReadinessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let MetricInfo {
            name, help, kind, ..
        } = READY_METRIC;
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for (check, works) in (self.0)() {
            let labels = [("check", check)];
            ConstGauge::new(i64::from(works)).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

pub(super) struct ClusterCollector(pub(super) Box<dyn Fn() -> ClusterStats + Send + Sync>);

impl fmt::Debug for ClusterCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterCollector")
    }
}

impl Collector for ClusterCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let ClusterStats { nodes, dropped } = (self.0)();
        let [shown, lost] = CLUSTER_METRICS;
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
