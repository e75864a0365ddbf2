//! What the tasks of a node share.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    client::Topology,
    dropped::DroppedMessages,
    keys::Keys,
    membership::{LivePeers, LocalMembers, LocalRoster},
    outbox_numbers::OutboxNumbers,
    scripts,
};
use crate::{
    backend::{Clock, Retention, RetentionPolicy},
    model::{Incarnation, NodeId},
    sync::lock,
};

pub(super) struct NodeContext {
    pub(super) topology: Arc<Topology>,
    pub(super) keys: Keys,
    pub(super) clock: Clock,
    pub(super) retention: Retention,
    pub(super) idempotency: Duration,
    // A std mutex: it is held to copy a name, and never across an await.
    incarnation: Mutex<Incarnation>,
    pub(super) node: NodeId,
    pub(super) peers: LivePeers,
    /// Notified when this node has acquired a lease that it did not hold.
    pub(super) lease_acquired: watch::Sender<()>,
    pub(super) roster: LocalRoster,
    /// Which users this node has in rooms, for the outbox.
    pub(super) members: LocalMembers,
    pub(super) outbox: OutboxNumbers,
    /// What this node has dropped of what goes between nodes.
    pub(super) dropped: DroppedMessages,
}

impl NodeContext {
    /// The context of a new node on a log in this incarnation.
    pub(super) fn new(
        topology: Arc<Topology>,
        keys: Keys,
        clock: Clock,
        retention: Retention,
        idempotency: Duration,
        outbox_events: usize,
        incarnation: Incarnation,
    ) -> Self {
        Self {
            topology,
            keys,
            clock,
            retention,
            idempotency,
            incarnation: Mutex::new(incarnation),
            node: NodeId::generate(),
            peers: LivePeers::default(),
            lease_acquired: watch::channel(()).0,
            roster: LocalRoster::default(),
            members: LocalMembers::default(),
            outbox: OutboxNumbers::new(outbox_events),
            dropped: DroppedMessages::default(),
        }
    }

    /// For how many milliseconds an empty room is kept after its last use: longer than any of its message ids.
    pub(super) fn forget_after(&self, policy: RetentionPolicy) -> u64 {
        scripts::millis(policy.room_ttl().max(self.idempotency))
    }

    /// The command that scripts publish with: in a Cluster, sharded Pub/Sub.
    pub(super) fn publish_command(&self) -> &'static str {
        match self.topology.is_cluster() {
            true => "SPUBLISH",
            false => "PUBLISH",
        }
    }

    /// The commands that subscribe to a channel and unsubscribe from it.
    pub(super) fn subscribe_commands(&self) -> (&'static str, &'static str) {
        match self.topology.is_cluster() {
            true => ("SSUBSCRIBE", "SUNSUBSCRIBE"),
            false => ("SUBSCRIBE", "UNSUBSCRIBE"),
        }
    }

    /// The log's incarnation, as far as this node knows.
    pub(super) fn incarnation(&self) -> Incarnation {
        lock(&self.incarnation).clone()
    }

    pub(super) fn set_incarnation(&self, incarnation: Incarnation) {
        *lock(&self.incarnation) = incarnation;
    }
}
