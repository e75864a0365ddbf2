//! The rooms that a connection is in, each with its start offset: the offset after which the connection is to receive the room's
//! messages.

use std::sync::Mutex;

use indexmap::IndexMap;

use crate::{
    model::{Offset, RoomName},
    sync::lock,
};

/// Rooms in the order of joining, each with its start offset.
pub(in crate::hub) type Memberships = IndexMap<RoomName, Offset>;

/// Held while a connection's memberships change or it catches up. Joins, leaves and catching up of one connection happen one
/// after another.
pub(in crate::hub) type MembershipGuard = tokio::sync::OwnedMutexGuard<()>;

/// The rooms of one connection, the personal room included, until it leaves all of them.
#[derive(Debug, Default)]
pub(super) struct MembershipTable(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// In the order of joining. A room has no start offset while it is being joined.
    rooms: IndexMap<RoomName, Option<Offset>>,
    /// No room can be joined any more.
    closed: bool,
}

/// Why a room cannot be joined.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::hub) enum JoinError {
    RoomLimit,
    Closing,
}

/// What a connection was in when it left all rooms.
#[derive(Debug)]
pub(super) struct LeftRooms {
    pub(super) joined: Memberships,
    pub(super) joining: Vec<RoomName>,
}

impl MembershipTable {
    pub(super) fn new(rooms: Memberships) -> Self {
        let rooms = rooms
            .into_iter()
            .map(|(room, start_offset)| (room, Some(start_offset)));
        Self(Mutex::new(Table {
            rooms: rooms.collect(),
            closed: false,
        }))
    }

    /// All rooms, also those that are being joined.
    pub(super) fn names(&self) -> Vec<RoomName> {
        lock(&self.0).rooms.keys().cloned().collect()
    }

    pub(super) fn contains(&self, room: &RoomName) -> bool {
        lock(&self.0).rooms.contains_key(room)
    }

    /// Whether it has left all rooms for good.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.0).closed
    }

    /// The rooms that have been joined, not those that are being joined; `None` after [`leave_all`](Self::leave_all).
    pub(super) fn joined(&self) -> Option<Memberships> {
        let table = lock(&self.0);
        (!table.closed).then(|| with_start_offset(table.rooms.clone()))
    }

    /// Adds `room` without a start offset; true if it was not there before. The personal room does not count towards `limit`, and 0
    /// is no limit.
    pub(super) fn begin_join(&self, room: &RoomName, limit: usize) -> Result<bool, JoinError> {
        let mut table = lock(&self.0);
        if table.closed {
            return Err(JoinError::Closing);
        }
        if table.rooms.contains_key(room) {
            return Ok(false);
        }
        let counted = table.rooms.keys().filter(|room| !room.is_personal());
        if limit != 0 && !room.is_personal() && counted.count() >= limit {
            return Err(JoinError::RoomLimit);
        }
        table.rooms.insert(room.clone(), None);
        Ok(true)
    }

    /// Sets the start offset of `room`, unless it has one. False if the connection is not in the room any more.
    pub(super) fn complete_join(&self, room: &RoomName, start_offset: Offset) -> bool {
        let mut table = lock(&self.0);
        let membership = table.rooms.get_mut(room);
        membership
            .map(|known| known.get_or_insert(start_offset))
            .is_some()
    }

    /// Removes `room`; true if it was there.
    pub(super) fn remove(&self, room: &RoomName) -> bool {
        lock(&self.0).rooms.shift_remove(room).is_some()
    }

    /// Removes every room and refuses new ones. `None` if that was done before.
    pub(super) fn leave_all(&self) -> Option<LeftRooms> {
        let rooms = {
            let mut table = lock(&self.0);
            if std::mem::replace(&mut table.closed, true) {
                return None;
            }
            std::mem::take(&mut table.rooms)
        };
        let joining = rooms
            .iter()
            .filter(|(_, start_offset)| start_offset.is_none());
        Some(LeftRooms {
            joining: joining.map(|(room, _)| room.clone()).collect(),
            joined: with_start_offset(rooms),
        })
    }
}

fn with_start_offset(rooms: IndexMap<RoomName, Option<Offset>>) -> Memberships {
    let rooms = rooms.into_iter();
    rooms
        .filter_map(|(room, start_offset)| Some((room, start_offset?)))
        .collect()
}

#[cfg(test)]
mod tests;
