//! What this node knows of a shard's offsets, and the highest offset that it has seen in any shard: a Lamport clock
//! (L. Lamport, Time, Clocks, and the Ordering of Events in a Distributed System, 1978).
//!
//! The offsets of a shard share a remainder modulo the number of shards, so no two messages have the same one and all are
//! totally ordered.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use redis::Cmd;

use crate::{
    backend::redis::{
        keys::{Keys, Partition},
        scripts::{self, number},
    },
    model::{Incarnation, Offset},
};

/// The highest offset that this node has seen in any shard.
#[derive(Default)]
pub(crate) struct LamportClock(AtomicU64);

/// The clock of one shard, and the commands that read and advance it.
pub(crate) struct ShardClock {
    keys: Keys,
    partition: Partition,
    shards: usize,
    /// The highest offset seen in this shard. If Redis has a lower one, it has lost data.
    last_seen: AtomicU64,
    lamport: Arc<LamportClock>,
}

impl ShardClock {
    /// The clock of the shard that is named after `partition`, one of `shards`.
    pub(crate) fn new(
        keys: Keys,
        partition: Partition,
        shards: usize,
        lamport: Arc<LamportClock>,
    ) -> Self {
        Self {
            keys,
            partition,
            shards,
            last_seen: AtomicU64::new(0),
            lamport,
        }
    }

    /// The partition that holds the shard's counter.
    pub(crate) fn partition(&self) -> Partition {
        self.partition
    }

    /// The highest offset seen in this shard.
    pub(crate) fn last_seen(&self) -> Offset {
        Offset(self.last_seen.load(Ordering::SeqCst))
    }

    /// Notes an offset that was seen in this shard.
    pub(crate) fn observe(&self, offset: Offset) {
        self.last_seen.fetch_max(offset.0, Ordering::SeqCst);
        self.lamport.0.fetch_max(offset.0, Ordering::SeqCst);
    }

    /// Adds the arguments `known` and `seen` of a script: the highest offsets of this shard and of all shards.
    pub(crate) fn add_clock_args(&self, command: &mut Cmd) {
        let last_seen = self.last_seen.load(Ordering::SeqCst);
        let lamport = self.lamport.0.load(Ordering::SeqCst);
        command.arg(number(last_seen)).arg(number(lamport));
    }

    /// Adds the arguments `shards` and `shard` of a script: the modulus and the remainder of this shard's offsets.
    pub(crate) fn add_shard_args(&self, command: &mut Cmd) {
        command.arg(self.shards).arg(self.partition.number());
    }

    /// Raises the shard's offset to the highest seen in any shard.
    pub(crate) fn raise_command(&self) -> Cmd {
        let counter = self.keys.offset(self.partition);
        let incarnation = self.keys.shard_incarnation(self.partition);
        let mut raise = scripts::raise(&[&counter, &incarnation]);
        self.add_clock_args(&mut raise);
        raise.arg(Incarnation::generate().as_str());
        raise
    }

    /// As [`raise_command`](Self::raise_command), and publishes a numbered barrier with the offset on `channel`.
    pub(crate) fn barrier_command(&self, channel: &str, publish: &str, number: u64) -> Cmd {
        let counter = self.keys.offset(self.partition);
        let incarnation = self.keys.shard_incarnation(self.partition);
        let mut raise = scripts::raise(&[&counter, &incarnation, channel]);
        self.add_clock_args(&mut raise);
        raise
            .arg(Incarnation::generate().as_str())
            .arg(publish)
            .arg(number);
        raise
    }

    /// Reads the shard's last offset.
    pub(crate) fn read_command(&self) -> Cmd {
        let mut read = redis::cmd("GET");
        read.arg(self.keys.offset(self.partition));
        read
    }
}
