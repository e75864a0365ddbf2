//! What this node knows of the outboxes of all shards: the highest number that it has seen in each.
//!
//! Scripts are told, so that no number is given twice when Redis has lost some.

use std::sync::atomic::{AtomicU64, Ordering};

use redis::Cmd;

use super::{
    keys::{PARTITIONS, Partition},
    scripts::number,
};

pub(super) struct OutboxNumbers {
    /// How many events are kept.
    max_events: usize,
    /// By the partition that the shard is named after.
    last_seen: [AtomicU64; PARTITIONS as usize],
}

impl OutboxNumbers {
    pub(super) fn new(max_events: usize) -> Self {
        Self {
            max_events,
            last_seen: Default::default(),
        }
    }

    /// The highest number seen in a shard.
    pub(super) fn last_seen(&self, shard: Partition) -> u64 {
        number(self.last_seen[shard.index()].load(Ordering::SeqCst))
    }

    /// Notes a number that was seen in a shard.
    pub(super) fn observe(&self, shard: Partition, number: u64) {
        self.last_seen[shard.index()].fetch_max(number, Ordering::SeqCst);
    }

    /// Adds the arguments of a script that adds events to a shard's outbox: how many it keeps, and the highest number seen.
    pub(super) fn add_args(&self, command: &mut Cmd, shard: Partition) {
        command
            .arg(number(self.max_events as u64))
            .arg(self.last_seen(shard));
    }
}
