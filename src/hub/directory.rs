//! Which rooms there are: those with members now, a page at a time, and the state of one.

use std::collections::BinaryHeap;

use serde::Serialize;

use super::{Caller, Hub, lock, room::Room};
use crate::{
    auth::Permission,
    backend::{PageSize, Range},
    error::{Error, Result},
    model::{Epoch, PERSONAL, RoomName, Seq},
};

/// Rooms that one answer lists, unless it is asked for another number, and at most.
const LISTED_ROOMS: usize = 100;
const PAGE_ROOMS: usize = 1000;

/// Which of the live rooms to list.
#[derive(Clone, Debug, Default)]
pub struct LiveRooms {
    /// Only names that begin with this. Personal rooms are listed only where it begins with `user:`.
    pub prefix: String,
    /// Only names behind this one.
    pub after: Option<RoomName>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// A room with members on this node, or users who have only just gone.
#[derive(Clone, Debug, Serialize)]
pub struct LiveRoom {
    /// Its name.
    pub room: RoomName,
    /// How many are there; nothing if this identity may not know.
    #[serde(flatten)]
    pub attendance: Option<Attendance>,
}

/// How many are in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attendance {
    /// Users, each counted once.
    pub users: usize,
    /// Their connections.
    pub connections: usize,
}

/// A part of the live rooms.
#[derive(Clone, Debug, Serialize)]
pub struct RoomsPage {
    /// In the order of their names.
    pub rooms: Vec<LiveRoom>,
    /// Ask for those behind this one to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<RoomName>,
}

/// One room, live or not.
#[derive(Clone, Debug, Serialize)]
pub struct RoomState {
    /// Its name.
    pub room: RoomName,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its last number.
    pub seq: Seq,
    /// How many are there; nothing if this identity may not know.
    #[serde(flatten)]
    pub attendance: Option<Attendance>,
}

impl Hub {
    /// The live rooms that `caller` may join, by name.
    pub fn live_rooms(&self, caller: &impl Caller, request: &LiveRooms) -> RoomsPage {
        let limit = request.limit.unwrap_or(LISTED_ROOMS).clamp(1, PAGE_ROOMS);
        let personal = request.prefix.starts_with(PERSONAL);
        let mut first = First::new(limit + 1);
        self.0.rooms.each(|key, live| {
            let room = &key.room;
            let asked = key.namespace == *caller.namespace()
                && room.as_str().starts_with(&request.prefix)
                && request.after.as_ref().is_none_or(|after| room > after)
                && (personal || !room.is_personal());
            if asked
                && first.takes(room)
                && caller.may(Permission::Join, room)
                && lock(live).is_inhabited()
            {
                first.put(room);
            }
        });
        let mut names = first.sorted();
        let more = names.len() > limit;
        names.truncate(limit);
        RoomsPage {
            next: names.last().filter(|_| more).cloned(),
            rooms: names
                .into_iter()
                .map(|room| LiveRoom {
                    attendance: self.attendance(caller, &room),
                    room,
                })
                .collect(),
        }
    }

    /// Where a room's log stands, and how many are there.
    pub async fn room(&self, caller: &impl Caller, room: RoomName) -> Result<RoomState> {
        if !caller.may(Permission::Join, &room) {
            return Err(Error::forbidden(format!(
                "this identity may not join {room}"
            )));
        }
        self.check_name(room.as_str())?;
        let log = &self.0.backend.log;
        let page = log
            .read(&caller.key(&room), Range::Last, PageSize::NOTHING)
            .await?;
        Ok(RoomState {
            epoch: page.epoch,
            seq: page.head,
            attendance: self.attendance(caller, &room),
            room,
        })
    }

    fn attendance(&self, caller: &impl Caller, room: &RoomName) -> Option<Attendance> {
        if !caller.may(Permission::Presence, room) {
            return None;
        }
        let found = self
            .0
            .rooms
            .with(&caller.key(room), |room: &mut Room| Attendance {
                users: room.users(),
                connections: room.connections(),
            });
        Some(found.unwrap_or_default())
    }
}

/// The first names of all that are put in, without keeping or sorting the others: a node has many rooms and a page few.
struct First {
    names: BinaryHeap<RoomName>,
    most: usize,
}

impl First {
    fn new(most: usize) -> Self {
        Self {
            names: BinaryHeap::with_capacity(most + 1),
            most,
        }
    }

    /// Whether a name is among the first so far.
    fn takes(&self, name: &RoomName) -> bool {
        self.names.len() < self.most || self.names.peek().is_some_and(|last| name < last)
    }

    fn put(&mut self, name: &RoomName) {
        self.names.push(name.clone());
        if self.names.len() > self.most {
            self.names.pop();
        }
    }

    fn sorted(self) -> Vec<RoomName> {
        self.names.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_names_are_kept_in_order(
            names in proptest::collection::hash_set("[a-d]{1,4}", 0..60),
            most in 1usize..10,
        ) {
            let names: Vec<_> = names.iter().map(|name| RoomName::parse(name).unwrap()).collect();
            let mut first = First::new(most);
            for name in &names {
                if first.takes(name) {
                    first.put(name);
                }
            }
            let mut sorted = names;
            sorted.sort();
            sorted.truncate(most);
            prop_assert_eq!(first.sorted(), sorted);
        }
    }
}
