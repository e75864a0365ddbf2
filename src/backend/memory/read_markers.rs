//! The read markers of the rooms in memory, under the same mutex as the messages.

use async_trait::async_trait;
use indexmap::IndexMap;

use super::{MemoryLog, TRIM_STEP};
use crate::{
    backend::{
        LogTime, ReadMarker, ReadMarkers, RetentionPolicy, closed, read_markers::StoredMarker,
    },
    error::Result,
    model::{RoomKey, Seq, UserId},
};

/// The read markers of one room.
#[derive(Default)]
pub(super) struct RoomMarkers {
    users: IndexMap<UserId, StoredMarker>,
    /// Index of the marker to check next.
    trim_cursor: usize,
}

#[async_trait]
impl ReadMarkers for MemoryLog {
    async fn advance(&self, room: &RoomKey, user: &UserId, seq: Seq) -> Result<ReadMarker> {
        let now = (self.clock)();
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        rooms.trim_step(now);
        let Some(room) = rooms.rooms.get_mut(room) else {
            return Ok(ReadMarker::default());
        };
        room.touch(now);
        let marker = room.markers.set(user, seq, room.recent.head(), now);
        // Besides the round robin over all rooms, so that a room cannot gain markers faster than they are checked.
        room.markers.trim_step(room.policy, now);
        Ok(marker)
    }

    async fn get(&self, room: &RoomKey, user: &UserId) -> Result<ReadMarker> {
        let rooms = self.lock();
        let rooms = rooms.as_ref().ok_or_else(closed)?;
        Ok(rooms.rooms.get(room).map_or(ReadMarker::default(), |room| {
            ReadMarker::at(room.markers.of(user).seq, room.recent.head(), false)
        }))
    }
}

impl RoomMarkers {
    fn of(&self, user: &UserId) -> StoredMarker {
        self.users.get(user).copied().unwrap_or(StoredMarker::NEVER)
    }

    fn set(&mut self, user: &UserId, seq: Seq, head: Seq, now: LogTime) -> ReadMarker {
        let old = self.of(user);
        let Some(new) = old.set(seq, head, now) else {
            return ReadMarker::at(old.seq, head, false);
        };
        self.users.insert(user.clone(), new);
        ReadMarker::at(new.seq, head, new.seq > old.seq)
    }

    /// Deletes the next few markers if they have expired.
    pub(super) fn trim_step(&mut self, policy: RetentionPolicy, now: LogTime) {
        for _ in 0..TRIM_STEP.min(self.users.len()) {
            if self.trim_cursor >= self.users.len() {
                self.trim_cursor = 0;
            }
            match self.users.get_index(self.trim_cursor) {
                Some((_, marker)) if policy.marker_expired(marker.ts, now) => {
                    self.users.swap_remove_index(self.trim_cursor);
                }
                _ => self.trim_cursor += 1,
            }
        }
    }

    /// Deletes all expired markers.
    #[cfg(test)]
    pub(super) fn trim(&mut self, policy: RetentionPolicy, now: LogTime) {
        self.users
            .retain(|_, marker| !policy.marker_expired(marker.ts, now));
    }
}
