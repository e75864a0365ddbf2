//! This node's lease: while it holds it, other nodes trust its roster entries.
//!
//! Leases expire by Redis's clock, so the clocks of nodes do not matter. Renewing returns which other nodes hold a lease and
//! which have lost it. A node removes others only after it has held its own for a whole lease: when Redis was away, all have
//! expired, and every node needs the time to acquire its own again.

use std::{sync::Arc, time::Duration};

use redis::Value;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::roster_queries::parse_node;
use crate::{
    backend::{
        Delivery,
        redis::{
            client::{ShardConnections, connect, reply},
            context::NodeContext,
            keys::Partition,
            scripts::{self, millis},
        },
    },
    error::Result,
    model::NodeId,
};

/// How many times a lease is renewed before it would expire.
const RENEWALS_PER_LEASE: u32 = 3;

/// How long after the end of another lease it is checked whether that was renewed.
const EXPIRY_SLACK: Duration = Duration::from_millis(20);

pub(super) struct LeaseKeeper {
    context: Arc<NodeContext>,
    connections: Arc<ShardConnections>,
    lease: Duration,
    /// Since when the lease has been held without a break.
    held_since: Option<Instant>,
    expired: watch::Sender<Option<Vec<NodeId>>>,
    /// Told of the nodes that are gone.
    deliveries: mpsc::Sender<Delivery>,
}

/// The result of renewing the lease.
struct LeaseRenewal {
    /// It had expired, or there was none.
    lost: bool,
    /// When the next lease of another node ends, unless it is renewed.
    next_expiry: Duration,
    /// Other nodes that hold a lease.
    alive: Vec<NodeId>,
    /// Nodes whose lease has expired.
    expired: Vec<NodeId>,
}

impl LeaseKeeper {
    /// Acquires the first lease. Sends the nodes to be removed to `expired` at each renewal, `None` while it is too early.
    pub(super) async fn acquire(
        context: Arc<NodeContext>,
        connections: Arc<ShardConnections>,
        lease: Duration,
        expired: watch::Sender<Option<Vec<NodeId>>>,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Result<Self> {
        let mut keeper = Self {
            context,
            connections,
            lease,
            held_since: None,
            expired,
            deliveries,
        };
        keeper.renew().await?;
        Ok(keeper)
    }

    /// Renews the lease until the task is aborted.
    pub(super) async fn run(mut self) {
        let mut delay = self.lease / RENEWALS_PER_LEASE;
        let mut backoff = connect::RETRY_BACKOFF;
        loop {
            tokio::time::sleep(delay).await;
            delay = match self.renew().await {
                Ok(next_expiry) => {
                    backoff.reset();
                    next_expiry.min(self.lease / RENEWALS_PER_LEASE) + EXPIRY_SLACK
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot renew this node's lease");
                    self.held_since = None;
                    self.expired.send_replace(None);
                    backoff.next_delay().min(self.lease / RENEWALS_PER_LEASE)
                }
            };
        }
    }

    /// Renews the lease and updates which other nodes are alive. Returns when the next of their leases ends.
    async fn renew(&mut self) -> Result<Duration> {
        let renewal = renew(&self.context, &self.connections, self.lease).await?;
        if renewal.lost {
            self.context.lease_acquired.send_replace(());
        }
        if renewal.lost || self.held_since.is_none() {
            self.held_since = Some(Instant::now());
            // Other nodes may have removed this node's entries, or Redis may have lost them.
            for partition in Partition::all() {
                self.context.roster.recheck_partition(partition);
                self.context.members.recheck(partition);
            }
        }
        let confirmed = self
            .held_since
            .is_some_and(|since| since.elapsed() >= self.lease);
        self.expired
            .send_replace(confirmed.then_some(renewal.expired));
        let gone = self.context.peers.update_leases(renewal.alive, confirmed);
        self.deliver_gone(gone);
        Ok(renewal.next_expiry)
    }

    /// Tells the hub of nodes that are gone. It may be behind, and this node's lease must not wait for it.
    fn deliver_gone(&self, nodes: Vec<NodeId>) {
        if nodes.is_empty() {
            return;
        }
        let deliveries = self.deliveries.clone();
        tokio::spawn(async move {
            for node in nodes {
                // Without a hub nobody wants to know.
                let _ = deliveries.send(Delivery::NodeGone(node)).await;
            }
        });
    }
}

/// Has this node's lease end after `lease` from now.
async fn renew(
    context: &NodeContext,
    connections: &ShardConnections,
    lease: Duration,
) -> Result<LeaseRenewal> {
    let mut command = scripts::renew_lease(&context.keys.leases());
    command.arg(context.node.to_string()).arg(millis(lease));
    let connection = connections.of(Partition::FIRST);
    let mut fields: Vec<Value> = reply::parse(connection.query(command).await?)?;
    let mut others = fields.split_off(fields.len().min(3));
    let (lost, next_expiry, alive): (u8, u64, usize) = reply::parse(Value::Array(fields))?;
    let expired = others.split_off(alive.min(others.len()));
    Ok(LeaseRenewal {
        lost: lost == 1,
        next_expiry: Duration::from_millis(next_expiry),
        alive: others.into_iter().filter_map(parse_node).collect(),
        expired: expired.into_iter().filter_map(parse_node).collect(),
    })
}

/// Has this node removed after the grace time.
pub(super) async fn shorten(
    context: &NodeContext,
    connections: &ShardConnections,
    grace: Duration,
) -> Result<()> {
    renew(context, connections, grace).await.map(|_| ())
}
