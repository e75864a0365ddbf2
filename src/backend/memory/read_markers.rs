//! The read marks of the rooms in memory, under the same mutex as the messages.

use async_trait::async_trait;
use indexmap::IndexMap;

use super::{MemoryLog, SWEEP};
use crate::{
    backend::{
        LogTime, ReadMarker, ReadMarkers, RetentionPolicy, closed, read_markers::StoredMarker,
    },
    error::Result,
    model::{RoomKey, Seq, UserId},
};

/// The marks of one room.
#[derive(Default)]
pub(super) struct RoomMarks {
    users: IndexMap<UserId, StoredMarker>,
    /// Which mark is looked at next, for being too old.
    sweep: usize,
}

#[async_trait]
impl ReadMarkers for MemoryLog {
    async fn advance(&self, room: &RoomKey, user: &UserId, seq: Seq) -> Result<ReadMarker> {
        let now = (self.clock)();
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        rooms.sweep(now);
        let Some(room) = rooms.rooms.get_mut(room) else {
            return Ok(ReadMarker::default());
        };
        room.touch(now);
        let mark = room.marks.set(user, seq, room.recent.head(), now);
        // Beside the turn of all rooms, so that a room cannot gain marks faster than they are looked at.
        room.marks.sweep(room.keep, now);
        Ok(mark)
    }

    async fn get(&self, room: &RoomKey, user: &UserId) -> Result<ReadMarker> {
        let rooms = self.lock();
        let rooms = rooms.as_ref().ok_or_else(closed)?;
        Ok(rooms.rooms.get(room).map_or(ReadMarker::default(), |room| {
            ReadMarker::at(room.marks.of(user).seq, room.recent.head(), false)
        }))
    }
}

impl RoomMarks {
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

    /// Forgets the next few marks if they are too old.
    pub(super) fn sweep(&mut self, keep: RetentionPolicy, now: LogTime) {
        for _ in 0..SWEEP.min(self.users.len()) {
            if self.sweep >= self.users.len() {
                self.sweep = 0;
            }
            match self.users.get_index(self.sweep) {
                Some((_, mark)) if keep.marker_expired(mark.ts, now) => {
                    self.users.swap_remove_index(self.sweep);
                }
                _ => self.sweep += 1,
            }
        }
    }

    /// Forgets all marks that are too old.
    #[cfg(test)]
    pub(super) fn trim(&mut self, keep: RetentionPolicy, now: LogTime) {
        self.users
            .retain(|_, mark| !keep.marker_expired(mark.ts, now));
    }
}
