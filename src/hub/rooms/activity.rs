//! Which rooms have the most events and the most connections: the few that an operator looks at first.

use std::cmp::Ordering;

use serde::Serialize;

use crate::model::RoomName;

/// How much goes on in a room.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoomActivity {
    /// Its name.
    pub room: RoomName,
    /// Its users, each counted once.
    pub users: usize,
    /// Their connections.
    pub connections: usize,
    /// Its events per second over the last ten seconds, as this node delivers them.
    pub events_per_second: f64,
}

/// The most active rooms of a node.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ActiveRooms {
    /// Those with the most events, the busiest first. Rooms without events are left out.
    pub busiest: Vec<RoomActivity>,
    /// Those with the most connections, the largest first.
    pub largest: Vec<RoomActivity>,
    #[serde(skip)]
    limit: usize,
}

impl ActiveRooms {
    /// No rooms so far; at most `limit` of each kind are kept.
    pub(in crate::hub) fn new(limit: usize) -> Self {
        Self {
            busiest: Vec::new(),
            largest: Vec::new(),
            limit,
        }
    }

    /// Adds a room, if it is among the most active.
    pub(in crate::hub) fn add(&mut self, room: RoomActivity) {
        if room.connections > 0 {
            let by_connections =
                |a: &RoomActivity, b: &RoomActivity| b.connections.cmp(&a.connections);
            insert(&mut self.largest, room.clone(), self.limit, by_connections);
        }
        if room.events_per_second > 0.0 {
            let by_events = |a: &RoomActivity, b: &RoomActivity| {
                b.events_per_second.total_cmp(&a.events_per_second)
            };
            insert(&mut self.busiest, room, self.limit, by_events);
        }
    }
}

/// Inserts into a short sorted list; equal rooms are in the order of their names.
fn insert(
    rooms: &mut Vec<RoomActivity>,
    room: RoomActivity,
    limit: usize,
    order: impl Fn(&RoomActivity, &RoomActivity) -> Ordering,
) {
    let at = rooms.partition_point(|other| {
        order(other, &room).then_with(|| other.room.cmp(&room.room)) == Ordering::Less
    });
    if at < limit {
        rooms.truncate(limit - 1);
        rooms.insert(at, room);
    }
}

#[cfg(test)]
mod tests;
