//! What a node says of itself, for operators: who it is, whether it is ready, and its newest numbers.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Hub,
    cluster::{client::REQUEST_TIMEOUT, request::ClusterRequest},
};
use crate::{
    model::Timestamp,
    retry::log_rarely,
    telemetry::{SAMPLE_INTERVAL, Totals},
};

/// How long the readiness of a node may take to find out, for a summary of it.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// What is fixed about a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The name that it is configured with, or a random one.
    pub id: String,
    /// The name of its machine, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The address that it is configured to listen on.
    pub listen: String,
    /// The version of the server.
    pub version: String,
    /// `sqlite`, `memory` or `redis`.
    pub store: String,
    /// When it was started.
    pub started_at: Timestamp,
}

impl NodeInfo {
    /// The node `id` of this machine and version, started now.
    pub(crate) fn started_now(id: String, listen: String, store: String) -> Self {
        let hostname = fs::read_to_string("/proc/sys/kernel/hostname");
        let host = hostname.ok().or_else(|| std::env::var("HOSTNAME").ok());
        Self {
            id,
            host: host
                .map(|host| host.trim().to_owned())
                .filter(|host| !host.is_empty()),
            listen,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store,
            started_at: Timestamp::now(),
        }
    }
}

/// A node at this moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeStats {
    /// What is fixed about it.
    #[serde(flatten)]
    pub info: NodeInfo,
    /// Whether it can serve requests.
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// It is shutting down.
    pub draining: bool,
    /// Its newest [`Sample`](crate::telemetry::Sample); `None` in the first seconds.
    pub sample: Option<Value>,
    /// What it has counted since it was started.
    pub totals: Totals,
}

/// The nodes of the cluster.
#[derive(Clone, Debug, Serialize)]
pub struct AllNodeStats {
    /// This node first, the others by id.
    pub nodes: Vec<NodeStats>,
    /// Nodes that are there, and did not respond in time.
    pub missing_nodes: usize,
}

/// This node, and when its newest sample was taken.
pub(super) struct NodeState {
    pub(super) info: NodeInfo,
    sampled: watch::Sender<u64>,
}

impl NodeState {
    pub(super) fn new(info: NodeInfo) -> Self {
        Self {
            info,
            sampled: watch::Sender::new(0),
        }
    }
}

impl Hub {
    /// What is fixed about this node.
    pub(crate) fn node_info(&self) -> &NodeInfo {
        &self.node().info
    }

    /// Changes with each sample that is added to the history of this node: the time it was taken.
    pub(crate) fn sampled(&self) -> watch::Receiver<u64> {
        self.node().sampled.subscribe()
    }

    /// This node.
    pub(crate) async fn node_stats(&self) -> NodeStats {
        let ready = match tokio::time::timeout(READY_TIMEOUT, self.ready()).await {
            Ok(ready) => ready.map_err(|error| error.message().to_owned()),
            Err(_) => Err("storage does not respond".to_owned()),
        };
        let sample = self.metrics().history().last().map(serde_json::to_value);
        NodeStats {
            info: self.node_info().clone(),
            ready: ready.is_ok(),
            not_ready: ready.err(),
            draining: self.connection_table().is_draining(),
            sample: sample.and_then(Result::ok),
            totals: self.metrics().totals(),
        }
    }

    /// All nodes of the cluster. Those that cannot be reached are counted as missing.
    pub(crate) async fn all_node_stats(&self) -> AllNodeStats {
        let remote = self
            .cluster()
            .request::<NodeStats>(&ClusterRequest::NodeStats, REQUEST_TIMEOUT);
        let (local, remote) = tokio::join!(self.node_stats(), remote);
        let mut nodes = remote.unwrap_or_else(|error| {
            log_rarely!(warn, %error, "the statistics of other nodes cannot be read");
            Vec::new()
        });
        nodes.sort_by(|a, b| a.info.id.cmp(&b.info.id));
        let pubsub = self.backend().pubsub.as_ref();
        let others = pubsub.map_or(0, |pubsub| pubsub.node_count().saturating_sub(1));
        let missing_nodes = others.saturating_sub(nodes.len());
        nodes.insert(0, local);
        AllNodeStats {
            nodes,
            missing_nodes,
        }
    }

    /// Adds a sample to the history every few seconds; runs until dropped.
    pub(super) async fn sample_metrics(&self) {
        let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Readers continue after the last time that they have got, so it never goes back.
            let last = *self.node().sampled.borrow();
            let ts = Timestamp::now_after(Timestamp(last)).0;
            self.metrics().sample(Instant::now(), ts);
            self.node().sampled.send_replace(ts);
        }
    }
}
