//! Rooms that are known not to be stored: most rooms are joined before anybody has written to them, and each join would read the
//! database to find nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use crate::{
    model::{Epoch, Message, RoomKey, Seq},
    sync::lock,
};

/// How many rooms are remembered before all are forgotten.
const MAX_ROOMS: usize = 50_000;

/// Shared by the writer and all readers.
#[derive(Default)]
pub(super) struct UnwrittenRooms {
    // A std mutex: it is held for a few map operations and never across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The epoch of each.
    rooms: HashMap<RoomKey, Epoch>,
    /// How often rooms were created or deleted.
    changes: u64,
}

/// A moment before a read.
#[derive(Clone, Copy)]
pub(super) struct Moment(u64);

impl UnwrittenRooms {
    /// The epoch of a room, if it is known not to be stored.
    pub(super) fn epoch(&self, room: &RoomKey) -> Option<Epoch> {
        self.lock().rooms.get(room).cloned()
    }

    /// Call it before the read whose result is [recorded](Self::record).
    pub(super) fn now(&self) -> Moment {
        Moment(self.lock().changes)
    }

    /// Records that a read has not found a room, unless rooms have changed since before it.
    pub(super) fn record(&self, room: &RoomKey, epoch: &Epoch, before: Moment) {
        let mut state = self.lock();
        if state.changes != before.0 {
            return;
        }
        if state.rooms.len() >= MAX_ROOMS {
            state.rooms.clear();
        }
        state.rooms.insert(room.clone(), epoch.clone());
    }

    /// Follows what was stored: the first message of a room creates it.
    pub(super) fn remove_created<'a>(&self, stored: impl Iterator<Item = &'a Message>) {
        for message in stored.filter(|message| message.seq == Seq(1)) {
            let mut state = self.lock();
            state.rooms.remove(&message.room);
            state.changes += 1;
        }
    }

    /// A room was deleted, which changes the epochs of others.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.rooms.clear();
        state.changes += 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests;
