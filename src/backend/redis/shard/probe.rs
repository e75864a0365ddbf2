//! Probes whether messages can be stored where none are, so that the node reports that it is not ready before a client finds
//! out.
//!
//! One task per shard. It runs a script of its own, which does what storing a message does, on keys that expire. A message
//! that was stored lately is as good as a probe; while storing fails, probes are more frequent.

use std::sync::{Arc, Weak};

use futures_util::future::join_all;

use crate::{
    backend::{
        health::{HealthCheck, PROBE_IDLE, ProbeSchedule, ProbeThrottle},
        redis::{
            client::{OnDisconnect, ShardConnections, reply},
            context::NodeContext,
            keys::Partition,
            scripts::{self, millis},
        },
    },
    error::Result,
};

pub(crate) struct ShardProbes {
    context: Arc<NodeContext>,
    connections: Arc<ShardConnections>,
    /// Each shard, and where the results are recorded.
    shards: Vec<(Partition, Arc<HealthCheck>)>,
    throttle: ProbeThrottle,
}

impl ShardProbes {
    /// Probes of every shard; `writes` are where the results are recorded.
    pub(crate) fn new(
        context: &Arc<NodeContext>,
        connections: &Arc<ShardConnections>,
        writes: impl IntoIterator<Item = Arc<HealthCheck>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            context: context.clone(),
            connections: connections.clone(),
            shards: context.topology.shards().zip(writes).collect(),
            throttle: ProbeThrottle::default(),
        })
    }

    /// Starts the tasks, which run until the log is dropped.
    pub(crate) fn start(self: &Arc<Self>, alive: &Weak<()>) {
        for (shard, check) in &self.shards {
            let (probes, shard, alive) = (self.clone(), *shard, alive.clone());
            let mut schedule = ProbeSchedule::of(check.clone());
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(schedule.delay()).await;
                    if alive.strong_count() == 0 {
                        return;
                    }
                    if schedule.is_due() {
                        probes.probe(shard, schedule.check()).await;
                    }
                }
            });
        }
    }

    /// Probes all shards, unless that was done a moment ago.
    pub(crate) async fn probe_all(&self) {
        let all = self.shards.iter();
        let all = all.map(|(shard, check)| self.probe(*shard, check));
        self.throttle
            .probe(async { drop(join_all(all).await) })
            .await;
    }

    async fn probe(&self, shard: Partition, check: &HealthCheck) {
        match self.write(shard).await {
            Ok(()) => check.record_success(),
            Err(error) => check.record_failure(reply::reason(&error)),
        }
    }

    async fn write(&self, shard: Partition) -> Result<()> {
        let (now, keys) = ((self.context.clock)(), &self.context.keys);
        let calls = self.context.topology.partitions_of(shard).map(|partition| {
            let mut probe = scripts::probe([
                &keys.offset(partition),
                &keys.rooms(partition),
                &keys.ended(partition),
                &keys.live(partition),
                &keys.nodes(partition),
                &keys.shard_incarnation(shard),
                &keys.forgotten(partition),
                &keys.outbox(shard),
                &keys.probe(partition, "id"),
                &keys.probe(partition, "hash"),
                &keys.probe(partition, "set"),
                &keys.probe(partition, "channel"),
            ]);
            probe
                .arg(self.context.publish_command())
                .arg(now.now.0)
                .arg(millis(2 * PROBE_IDLE));
            probe
        });
        let calls: Vec<_> = calls.collect();
        let connection = self.connections.of(shard);
        for reply in connection.execute(&calls, OnDisconnect::Retry).await? {
            // Some keys of a probe do not exist, for which Redis rejects all of them while their slot migrates.
            if !reply::is_migrating(&reply) {
                reply::check(reply)?;
            }
        }
        Ok(())
    }
}
