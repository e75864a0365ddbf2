//! Removes what dead nodes have left: roster entries, members of rooms, sessions, and at last their lease.
//!
//! Every node does this for all others. A step on one room is one script that publishes only if there was something to
//! remove, so however many nodes do it at once, the removal is published once. What breaks off is taken up again, because
//! the lease is deleted last. A node that was taken for dead finds that its lease is lost, and writes its entries anew.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{sync::watch, time::Instant};

use crate::{
    backend::redis::{
        client::{OnDisconnect, ShardConnections, reply},
        context::NodeContext,
        keys::{self, Partition},
        scripts,
    },
    error::Result,
    model::NodeId,
    retry::log_in_bursts,
};

/// How many rooms are cleared together.
const ROOMS_PER_STEP: usize = 64;

/// How many members are removed together.
const MEMBERS_PER_STEP: u64 = 100;

pub(super) struct DeadNodeReaper {
    pub(super) context: Arc<NodeContext>,
    pub(super) connections: Arc<ShardConnections>,
    /// How often orphaned entries are looked for.
    pub(super) lease: Duration,
    pub(super) expired: watch::Receiver<Option<Vec<NodeId>>>,
}

impl DeadNodeReaper {
    /// Runs until the lease keeper has ended.
    pub(super) async fn run(mut self) {
        let mut looked = Instant::now();
        while self.expired.changed().await.is_ok() {
            let Some(expired) = self.expired.borrow_and_update().clone() else {
                continue;
            };
            let mut done = Ok(());
            for node in expired {
                done = done.and(self.remove(node).await);
            }
            if looked.elapsed() >= self.lease {
                looked = Instant::now();
                done = done.and(self.remove_orphans().await);
            }
            if let Err(error) = done {
                tracing::debug!(%error, "cannot remove the entries of dead nodes now");
            }
        }
    }

    /// Removes a node whose lease has expired: everything that it has, then the lease.
    async fn remove(&self, node: NodeId) -> Result<()> {
        // All partitions are tried, even if one is unavailable.
        let partitions = Partition::all().map(|partition| self.remove_from(partition, node));
        let removed = join_all(partitions).await;
        removed.into_iter().collect::<Result<()>>()?;
        let mut release = scripts::release_lease(&self.context.keys.leases());
        release.arg(node.to_string());
        let first = self.connections.of(Partition::FIRST);
        first.query(release).await?;
        log_in_bursts!(info, %node, "the lease of a node has expired; removed its users and sessions");
        Ok(())
    }

    async fn remove_from(&self, partition: Partition, node: NodeId) -> Result<()> {
        while self.clear_rooms(partition, node).await? {}
        self.remove_members(partition, node).await?;
        let connection = self.connections.of(partition);
        let now = (self.context.clock)().now.0.to_string();
        let abandon = scripts::session(
            &self.context.keys,
            partition,
            &["abandon", &node.to_string(), &now],
        );
        while reply::parse::<u64>(connection.query(abandon.clone()).await?)? > 0 {}
        let keys = &self.context.keys;
        for nodes in [keys.nodes(partition), keys.present_nodes(partition)] {
            let mut remove = redis::cmd("SREM");
            remove.arg(nodes).arg(node.to_string());
            connection.query(remove).await?;
        }
        Ok(())
    }

    /// Removes a node's entries from a few rooms; whether there were any.
    async fn clear_rooms(&self, partition: Partition, node: NodeId) -> Result<bool> {
        let keys = &self.context.keys;
        let connection = self.connections.of(partition);
        let rooms_of = keys.rooms_of(partition, node);
        let mut some = redis::cmd("SRANDMEMBER");
        some.arg(&rooms_of).arg(ROOMS_PER_STEP);
        let names: Vec<String> = reply::parse(connection.query(some).await?)?;
        let mut calls = Vec::with_capacity(names.len());
        for name in &names {
            let Some(room) = keys::parse_room_name(name) else {
                let mut remove = redis::cmd("SREM");
                remove.arg(&rooms_of).arg(name);
                calls.push(remove);
                continue;
            };
            let mut remove = scripts::remove_from_roster([
                &keys.entries_of(&room, node),
                &keys.here(&room),
                &rooms_of,
                &keys.live(partition),
                &keys.channel(&room),
            ]);
            remove.arg(self.context.publish_command()).arg(name);
            remove.arg(node.to_string());
            calls.push(remove);
        }
        for reply in connection.execute(&calls, OnDisconnect::Retry).await? {
            reply::check(reply)?;
        }
        Ok(!names.is_empty())
    }

    /// Removes the members that a node has.
    async fn remove_members(&self, partition: Partition, node: NodeId) -> Result<()> {
        let (keys, shard) = (
            &self.context.keys,
            self.context.topology.shard_of(partition),
        );
        let mut remove = scripts::remove_members([
            &keys.present(partition),
            &keys.present_of(partition, node),
            &keys.outbox(shard),
            &keys.shard_incarnation(shard),
        ]);
        remove
            .arg((self.context.clock)().now.0)
            .arg(MEMBERS_PER_STEP);
        self.context.outbox.add_args(&mut remove, shard);
        let connection = self.connections.of(partition);
        let left: u64 = reply::parse(connection.query(remove.clone()).await?)?;
        // No more than there were: a node that was taken for dead adds its members again meanwhile.
        for _ in 0..left.div_ceil(MEMBERS_PER_STEP) {
            connection.query(remove.clone()).await?;
        }
        Ok(())
    }

    /// Removes nodes that have entries without a lease, and has this node check rooms that it should have no entries in.
    async fn remove_orphans(&self) -> Result<()> {
        let mut removed = Ok(());
        for partition in Partition::all() {
            // In a Cluster one partition may be unavailable alone.
            removed = removed.and(self.remove_orphans_from(partition).await);
        }
        removed
    }

    async fn remove_orphans_from(&self, partition: Partition) -> Result<()> {
        let keys = &self.context.keys;
        let connection = self.connections.of(partition);
        let mut nodes = redis::cmd("SUNION");
        nodes
            .arg(keys.nodes(partition))
            .arg(keys.present_nodes(partition));
        let nodes: Vec<String> = reply::parse(connection.query(nodes).await?)?;
        // Behind the nodes: a node has acquired its lease before it writes entries.
        let mut leases = redis::cmd("ZRANGE");
        leases.arg(keys.leases()).arg(0).arg(-1);
        let first = self.connections.of(Partition::FIRST);
        let leases: HashSet<String> = reply::parse(first.query(leases).await?)?;
        let orphans = nodes.iter().filter(|node| !leases.contains(*node));
        for node in orphans.filter_map(|node| node.parse().ok()) {
            self.remove_from(partition, node).await?;
        }
        let mut stored = redis::cmd("SMEMBERS");
        stored.arg(keys.rooms_of(partition, self.context.node));
        let stored: Vec<String> = reply::parse(connection.query(stored).await?)?;
        let occupied: HashSet<_> = self
            .context
            .roster
            .occupied_rooms(partition)
            .into_iter()
            .collect();
        let stored = stored.iter().filter_map(|name| keys::parse_room_name(name));
        stored
            .filter(|room| !occupied.contains(room))
            .for_each(|room| self.context.roster.recheck_room(&room));
        Ok(())
    }
}
