//! Which rooms there are: those with members now, a page at a time, and the state of one.

use std::collections::{BTreeSet, BinaryHeap};

use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;

use super::{Caller, Hub, lock, room::Room};
use crate::{
    auth::Permission,
    backend::{Nodes, PageSize, Range},
    error::{Error, Result},
    model::{Epoch, PERSONAL, RoomName, Seq},
};

/// Rooms that one answer lists, unless it is asked for another number, and at most.
const LISTED_ROOMS: usize = 100;
const PAGE_ROOMS: usize = 1000;
/// Pages of live rooms of all nodes that are looked at for one answer.
const PAGES_LOOKED_AT: usize = 20;
/// Rooms that are asked about at the same time for one answer.
const AT_ONCE: usize = 32;

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

/// A room with members, or users who have only just gone.
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
    pub async fn live_rooms(&self, caller: &impl Caller, request: &LiveRooms) -> Result<RoomsPage> {
        let limit = request.limit.unwrap_or(LISTED_ROOMS).clamp(1, PAGE_ROOMS);
        let mut names = self.live_here(caller, request, limit + 1);
        let mut next = None;
        if let Some(nodes) = &self.0.backend.nodes {
            next = live_elsewhere(&**nodes, caller, request, limit + 1, &mut names).await?;
        }
        let mut names: Vec<_> = names.into_iter().collect();
        if names.len() > limit {
            names.truncate(limit);
            next = names.last().cloned();
        }
        let rooms = futures_util::stream::iter(names).map(|room| async move {
            let attendance = self.attendance(caller, &room).await?;
            Ok(LiveRoom { room, attendance })
        });
        Ok(RoomsPage {
            rooms: rooms.buffered(AT_ONCE).try_collect().await?,
            next,
        })
    }

    /// The first of those that are live on this node.
    fn live_here(
        &self,
        caller: &impl Caller,
        request: &LiveRooms,
        most: usize,
    ) -> BTreeSet<RoomName> {
        let personal = request.prefix.starts_with(PERSONAL);
        let mut first = First::new(most);
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
        first.sorted().into_iter().collect()
    }

    /// Where a room's log stands, and how many are there.
    pub async fn room(&self, caller: &impl Caller, room: RoomName) -> Result<RoomState> {
        if !caller.may(Permission::Join, &room) {
            return Err(Error::forbidden(format!(
                "this identity may not join {room}"
            )));
        }
        self.check_name(room.bytes())?;
        let log = &self.0.backend.log;
        let page = log
            .read(&caller.key(&room), Range::Last, PageSize::NOTHING)
            .await?;
        Ok(RoomState {
            epoch: page.epoch,
            seq: page.head,
            attendance: self.attendance(caller, &room).await?,
            room,
        })
    }

    async fn attendance(
        &self,
        caller: &impl Caller,
        room: &RoomName,
    ) -> Result<Option<Attendance>> {
        if !caller.may(Permission::Presence, room) {
            return Ok(None);
        }
        let key = caller.key(room);
        let found = self.0.rooms.with(&key, |room: &mut Room| {
            room.knows_all().then(|| Attendance {
                users: room.users(),
                connections: room.connections(),
            })
        });
        let attendance = match (found.flatten(), &self.0.backend.nodes) {
            (Some(attendance), _) => attendance,
            (None, Some(nodes)) => {
                let census = nodes.users(&key, None, 0).await?;
                Attendance {
                    users: census.count,
                    connections: census.connections,
                }
            }
            (None, None) => Attendance::default(),
        };
        Ok(Some(attendance))
    }
}

/// Adds to `names` the first of those that are live on any node, up to `most`. Whoever may join few of many rooms is answered
/// before all have been looked at: then this answers the last that was, and leaves none in `names` behind it.
async fn live_elsewhere(
    nodes: &dyn Nodes,
    caller: &impl Caller,
    request: &LiveRooms,
    most: usize,
    names: &mut BTreeSet<RoomName>,
) -> Result<Option<RoomName>> {
    let (namespace, prefix) = (caller.namespace(), &request.prefix);
    let mut after = request.after.clone();
    let mut wanted = most;
    for _ in 0..PAGES_LOOKED_AT {
        let page = nodes.rooms(namespace, prefix, after.as_ref(), PAGE_ROOMS);
        let page = page.await?;
        let is_last = page.len() < PAGE_ROOMS;
        after = page.last().cloned().or(after);
        for room in page {
            if wanted > 0 && caller.may(Permission::Join, &room) {
                names.insert(room);
                wanted -= 1;
            }
        }
        if is_last || wanted == 0 {
            return Ok(None);
        }
    }
    names.retain(|room| after.as_ref().is_some_and(|after| room <= after));
    Ok(after)
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
