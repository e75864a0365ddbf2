//! Deletes what retention no longer keeps. Each partition lists its rooms by the time at which they are due.
//!
//! Every node does this; a step that another node has done finds nothing to do.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use redis::Cmd;

use super::{
    client::{OnDisconnect, ShardConnections, reply},
    context::NodeContext,
    keys::{self, Partition},
    scripts::{self, millis, number},
};
use crate::{
    backend::{LogTime, epoch, retention},
    error::Result,
    model::RoomKey,
};

/// How many rooms of a partition are trimmed in one step.
const ROOMS_PER_STEP: usize = 64;

pub(super) struct RedisTrimmer {
    pub(super) context: Arc<NodeContext>,
    pub(super) connections: Arc<ShardConnections>,
    pub(super) session_window: Duration,
}

impl RedisTrimmer {
    /// Trims step by step until the log is dropped.
    pub(super) async fn run(self, alive: Weak<()>) {
        let mut delay = retention::trim_delay(false, Duration::ZERO);
        loop {
            tokio::time::sleep(delay).await;
            if alive.strong_count() == 0 {
                return;
            }
            let began = Instant::now();
            let now = (self.context.clock)();
            // Where this fails writing fails, too, which is logged there.
            let _ = self.store_retention_clock(now).await;
            let more = self.step(now).await;
            delay = retention::trim_delay(more, began.elapsed());
        }
    }

    /// Stores the retention clock for nodes that start later. A later time of another node may be overwritten, which is safe:
    /// less is deleted.
    pub(super) async fn store_retention_clock(&self, now: LogTime) -> Result<()> {
        let mut store = redis::cmd("SET");
        store
            .arg(self.context.keys.retention_clock())
            .arg(now.retention_clock.0);
        let stored = self.connections.of(Partition::FIRST).query(store).await;
        stored.map(|_| ())
    }

    /// Trims a few sessions and rooms of each partition. Returns whether there may be more.
    pub(super) async fn step(&self, now: LogTime) -> bool {
        let mut more = false;
        for partition in Partition::all() {
            // A failure is logged where messages are stored or read; the next step tries again.
            more |= self.trim_partition(partition, now).await.unwrap_or(false);
        }
        more
    }

    async fn trim_partition(&self, partition: Partition, now: LogTime) -> Result<bool> {
        let expired = now.before(self.session_window).0.to_string();
        let trim = scripts::session(&self.context.keys, partition, &["sweep", "", &expired]);
        let sessions: u64 = reply::parse(self.connections.of(partition).query(trim).await?)?;
        Ok(self.trim_rooms(partition, now).await? || sessions > 0)
    }

    async fn trim_rooms(&self, partition: Partition, now: LogTime) -> Result<bool> {
        let connection = self.connections.of(partition);
        let mut due = redis::cmd("ZRANGEBYSCORE");
        due.arg(self.context.keys.rooms(partition))
            .arg("-inf")
            .arg(now.retention_clock.0);
        due.arg("LIMIT").arg(0).arg(ROOMS_PER_STEP);
        let rooms: Vec<String> = reply::parse(connection.query(due).await?)?;
        let rooms = rooms.iter().filter_map(|room| keys::parse_room_name(room));
        let trims: Vec<_> = rooms.map(|room| self.trim_room(&room, now)).collect();
        if trims.is_empty() {
            return Ok(false);
        }
        for reply in connection.execute(&trims, OnDisconnect::Retry).await? {
            reply::check(reply)?;
        }
        Ok(true)
    }

    fn trim_room(&self, room: &RoomKey, now: LogTime) -> Cmd {
        let keys = &self.context.keys;
        let policy = self.context.retention.policy(&room.room);
        let mut command = scripts::trim([
            &keys.room(room),
            &keys.messages(room),
            &keys.read_markers(room),
            &keys.read_marker_times(room),
            &keys.rooms(Partition::of(room)),
            &keys.forgotten(Partition::of(room)),
        ]);
        command
            .arg(now.retention_clock.0)
            .arg(keys::room_name(room))
            .arg(policy.cutoff(now).0)
            .arg(number(policy.messages))
            .arg(millis(policy.age))
            .arg(self.context.forget_after(policy))
            .arg(millis(policy.marker_ttl()))
            .arg(epoch::slot(room));
        command
    }
}
