//! Which rooms there are: those with members now, a page at a time, and the state of one.

use std::{collections::BTreeSet, time::Instant};

use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::hub::{
    Caller, Hub,
    rooms::presence_query::USERS_PER_PERMIT,
    rooms::room::Room,
    rooms::search::{RoomSearch, SearchResult},
};
use crate::{
    auth::Permission,
    backend::{ClusterNodes, PageSize, Range},
    error::{Error, Result},
    model::{Epoch, RoomName, Seq},
};

/// Rooms that one answer lists, unless it is asked for another number, and at most.
const LISTED_ROOMS: usize = 100;
const PAGE_ROOMS: usize = 1000;
/// Patterns that are compared with names for one permit of the caller's rate.
const COMPARISONS_A_PERMIT: usize = 1000;
/// Rooms of other nodes that are asked about for one permit.
const ASKED_A_PERMIT: usize = 10;
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
    /// Ask for those behind this to go on. Not always one of the rooms: there may be more even if none are here.
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
    /// The live rooms that `caller` may join, by name. A caller that may join few of many rooms is answered before all of them
    /// have been looked at: with less than it asked for, or nothing, and with where to go on.
    pub async fn live_rooms(&self, caller: &impl Caller, request: &LiveRooms) -> Result<RoomsPage> {
        let limit = request.limit.unwrap_or(LISTED_ROOMS).clamp(1, PAGE_ROOMS);
        let mut found = vec![self.live_here(caller, request, limit + 1)];
        if let Some(nodes) = &self.0.backend.cluster {
            found.push(live_elsewhere(&**nodes, caller, request, limit + 1).await?);
        }
        let comparisons = found.iter().map(|found| found.comparisons).sum::<usize>();
        self.charge(caller, comparisons / COMPARISONS_A_PERMIT, Instant::now());
        let mut next = found
            .iter()
            .filter_map(|found| found.stopped_at.clone())
            .min();
        let rooms: BTreeSet<_> = found.into_iter().flat_map(|found| found.rooms).collect();
        let mut rooms: Vec<_> = rooms.into_iter().collect();
        rooms.retain(|room| next.as_ref().is_none_or(|next| room <= next));
        if rooms.len() > limit {
            rooms.truncate(limit);
            next = rooms.last().cloned();
        }
        if self.0.backend.cluster.is_some() {
            self.charge(caller, rooms.len() / ASKED_A_PERMIT, Instant::now());
        }
        let rooms = futures_util::stream::iter(rooms).map(|room| async move {
            let attendance = self.attendance(caller, &room).await?;
            Ok(LiveRoom { room, attendance })
        });
        Ok(RoomsPage {
            rooms: rooms.buffered(AT_ONCE).try_collect().await?,
            next,
        })
    }

    /// The first of those that are live on this node.
    fn live_here(&self, caller: &impl Caller, request: &LiveRooms, most: usize) -> SearchResult {
        let rooms = &self.0.rooms;
        let mut search = RoomSearch::new(caller, &request.prefix, request.after.as_ref(), most);
        while let Some(query) = search.next_query() {
            let (namespace, after) = (caller.namespace(), query.after.as_ref());
            let names = rooms
                .index()
                .page(namespace, &query.prefix, after, query.limit);
            search.add_names(&query, names, |room| {
                caller.may(Permission::Join, room) && rooms.is_occupied(&caller.key(room))
            });
        }
        search.finish()
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
            room.is_roster_loaded().then(|| Attendance {
                users: room.user_count(),
                connections: room.connection_count(),
            })
        });
        let attendance = match (found.flatten(), &self.0.backend.cluster) {
            (Some(attendance), _) => attendance,
            (None, Some(nodes)) => {
                let census = nodes.room_users(&key, None, 0).await?;
                self.charge(caller, census.count / USERS_PER_PERMIT, Instant::now());
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

/// The first of those that are live on any node.
async fn live_elsewhere(
    nodes: &dyn ClusterNodes,
    caller: &impl Caller,
    request: &LiveRooms,
    most: usize,
) -> Result<SearchResult> {
    let mut search = RoomSearch::new(caller, &request.prefix, request.after.as_ref(), most);
    while let Some(query) = search.next_query() {
        let (namespace, after) = (caller.namespace(), query.after.as_ref());
        let names = nodes.occupied_rooms(namespace, &query.prefix, after, query.limit);
        search.add_names(&query, names.await?, |room| {
            caller.may(Permission::Join, room)
        });
    }
    Ok(search.finish())
}
