//! What a hub does in time, without a request.

use std::time::{Duration, Instant};

use super::Hub;
use crate::backend::{PageSize, Range};

/// How often rooms with members are read: well within the days that a log remembers an idle room.
const ROOM_KEEPALIVE: Duration = Duration::from_secs(12 * 3600);

/// How often buckets that are full again are dropped.
const BUCKET_CLEANUP: Duration = Duration::from_secs(10);

impl Hub {
    /// Runs everything that is due in time: users leave, typing ends, idle users are shown as away, metrics are sampled. Runs until
    /// dropped.
    pub(crate) async fn run_maintenance(self) {
        tokio::join!(
            self.rooms().run_timers(),
            self.rooms().run_outbox_members(self.lease()),
            self.mark_idle_users(),
            self.keep_rooms_alive(),
            self.close_stale_connections(),
            self.drop_full_buckets(),
            self.save_new_sessions(),
            self.documents().run_checks(),
            self.documents().run_notices(),
            self.sample_metrics()
        );
    }

    /// Reads the position of every room with members from time to time.
    ///
    /// A log may forget a room that is empty and has been neither written nor read for days, and numbers it from 1 again
    /// after that. A room with members must not be forgotten: they would take the new numbers for old messages.
    async fn keep_rooms_alive(&self) {
        loop {
            tokio::time::sleep(ROOM_KEEPALIVE).await;
            for room in self.rooms().keys() {
                let log = &self.backend().log;
                if let Err(error) = log.read(&room, Range::Last, PageSize::NOTHING).await {
                    tracing::debug!(?room, %error, "an idle room could not be read");
                }
            }
        }
    }

    async fn drop_full_buckets(&self) {
        loop {
            tokio::time::sleep(BUCKET_CLEANUP).await;
            let now = Instant::now();
            self.rates().drop_full_buckets(now);
            self.policies().drop_full_buckets(now);
        }
    }
}
