//! Which nodes are alive, and who is in rooms on each of them.
//!
//! What a node has of a user in a room is a *roster entry*, which only that node writes. A room has a hash of entries for
//! each node. One script ([`scripts::update_roster`](super::scripts::update_roster)) writes what changed of them, gives the
//! roster its next *version*, and publishes both on the room's channel. The shard's subscription reads the entries of all
//! other nodes just after it has subscribed to a room, and again whenever a version was skipped.
//!
//! Entries count as long as their node holds its *lease* ([`lease`]). A node that sees another's lease expire removes what
//! that node has left, and marks its sessions as ended ([`reaper`]).
//!
//! # Cost
//!
//! A change is one script and one publish; changes of a room that are queued together share both. Following a room reads its
//! whole roster at once, and so does a page of users of a room that is not followed: 10,000 users are 1.5 MB and take Redis
//! some milliseconds. This is not made for rooms of many more than a hundred thousand.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
};

use super::{client::ShardConnections, context::NodeContext, keys::Partition};
use crate::{backend::Delivery, error::Result};

pub(super) mod codec;
mod lease;
mod live_peers;
mod local_members;
mod local_roster;
mod members_publisher;
mod publisher;
mod reaper;
pub(super) mod roster_queries;
#[cfg(test)]
mod tests;

pub(super) use codec::{RosterMessage, RosterUpdate};
use lease::LeaseKeeper;
pub(super) use live_peers::LivePeers;
pub(super) use local_members::{LocalMembers, MemberChange};
pub(super) use local_roster::LocalRoster;
use members_publisher::MembersPublisher;
use publisher::RosterPublisher;
use reaper::DeadNodeReaper;

/// How long the last changes may take to be written when a node stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The tasks that publish this node's roster entries and members, keep its lease and remove dead nodes. Dropping this ends them.
pub(super) struct MembershipTasks {
    publishers: Mutex<JoinSet<()>>,
    /// The lease keeper and the reaper.
    lease_tasks: Mutex<JoinSet<()>>,
    pub(super) lease: Duration,
    grace: Duration,
}

impl MembershipTasks {
    /// Acquires this node's lease, and starts the tasks. `deliveries` is told of nodes that are gone.
    pub(super) async fn start(
        context: &Arc<NodeContext>,
        connections: &Arc<ShardConnections>,
        (lease, grace): (Duration, Duration),
        deliveries: mpsc::Sender<Delivery>,
    ) -> Result<Self> {
        let tasks = Self {
            publishers: Mutex::default(),
            lease_tasks: Mutex::default(),
            lease,
            grace,
        };
        tasks
            .start_lease_tasks(context, connections, deliveries)
            .await?;
        tasks.start_publishers(context, connections).await;
        Ok(tasks)
    }

    /// Acquires the lease, keeps it, and removes nodes whose lease expires.
    async fn start_lease_tasks(
        &self,
        context: &Arc<NodeContext>,
        connections: &Arc<ShardConnections>,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Result<()> {
        let (sender, expired) = watch::channel(None);
        let (own_context, own_connections) = (context.clone(), connections.clone());
        let keeper =
            LeaseKeeper::acquire(own_context, own_connections, self.lease, sender, deliveries);
        let keeper = keeper.await?;
        let reaper = DeadNodeReaper {
            context: context.clone(),
            connections: connections.clone(),
            lease: self.lease,
            expired,
        };
        let mut lease_tasks = self.lease_tasks.lock().await;
        lease_tasks.spawn(keeper.run());
        lease_tasks.spawn(reaper.run());
        Ok(())
    }

    /// Starts a publisher of roster entries and one of members for each partition.
    async fn start_publishers(
        &self,
        context: &Arc<NodeContext>,
        connections: &Arc<ShardConnections>,
    ) {
        let mut publishers = self.publishers.lock().await;
        for partition in Partition::all() {
            let publisher = RosterPublisher {
                context: context.clone(),
                connections: connections.clone(),
                partition,
            };
            publishers.spawn(publisher.run());
            let publisher = MembersPublisher {
                context: context.clone(),
                connections: connections.clone(),
                partition,
                check_interval: self.lease,
            };
            publishers.spawn(publisher.run());
        }
    }

    /// Writes the last changes, and has this node removed after the grace time: by then its users are on other nodes, or
    /// have left.
    pub(super) async fn close(&self, context: &NodeContext, connections: &ShardConnections) {
        context.roster.close();
        context.members.close();
        let mut publishers = self.publishers.lock().await;
        let flushed = async { while publishers.join_next().await.is_some() {} };
        if tokio::time::timeout(FLUSH_TIMEOUT, flushed).await.is_err() {
            tracing::warn!("timed out writing the last changes of rosters and members to Redis");
        }
        self.lease_tasks.lock().await.shutdown().await;
        let shortened = lease::shorten(context, connections, self.grace).await;
        if let Err(error) = shortened {
            tracing::debug!(%error, "cannot shorten this node's lease; its users stay until it expires");
        }
    }
}
