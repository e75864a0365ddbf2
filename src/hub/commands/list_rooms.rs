//! Lists live rooms a page at a time, and returns the state of one room.

use std::{collections::BTreeSet, time::Instant};

use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::hub::{
    Caller, Hub,
    rooms::presence_query::USERS_PER_PERMIT,
    rooms::search::{RoomSearch, SearchResult},
};
use crate::{
    auth::Permission,
    backend::{ClusterNodes, PageSize, Range},
    error::{Error, Result},
    model::{Epoch, RoomName, Seq},
};

/// Rooms on a page, unless the request says otherwise, and at most.
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;
/// Names that are compared with patterns for one permit of the caller's rate.
const COMPARISONS_PER_PERMIT: usize = 1000;
/// Rooms whose members on other nodes are counted for one permit.
const ROOMS_PER_PERMIT: usize = 10;
/// Rooms whose members are counted at the same time for one page.
const CONCURRENT_COUNTS: usize = 32;

/// Which of the live rooms to list.
#[derive(Clone, Debug, Default)]
pub struct RoomsRequest {
    /// Only names that begin with this. Personal rooms are listed only where it begins with `user:`.
    pub prefix: String,
    /// Only names after this one.
    pub after: Option<RoomName>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// A room with members, or with users who have only just left.
#[derive(Clone, Debug, Serialize)]
pub struct LiveRoom {
    /// Its name.
    pub room: RoomName,
    /// Its members; `None` if this identity may not see them.
    #[serde(flatten)]
    pub counts: Option<RoomCounts>,
}

/// Members of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RoomCounts {
    /// Users, each counted once.
    pub users: usize,
    /// Their connections.
    pub connections: usize,
}

/// A page of the live rooms.
#[derive(Clone, Debug, Serialize)]
pub struct RoomsPage {
    /// The rooms, by name.
    pub rooms: Vec<LiveRoom>,
    /// Request the rooms after this name next. It is not always one of the rooms: there may be more even if this page is empty.
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
    /// The number of its last message.
    pub seq: Seq,
    /// Its members; `None` if this identity may not see them.
    #[serde(flatten)]
    pub counts: Option<RoomCounts>,
}

impl Hub {
    /// The live rooms that `caller` may join, by name. For a caller that may join few of many rooms this returns before all of them
    /// have been examined: with fewer than it asked for, or none, and with the name to continue after.
    ///
    /// # Errors
    /// Fails with `unavailable` if the rooms or members of other nodes cannot be read.
    pub async fn live_rooms(
        &self,
        caller: &impl Caller,
        request: &RoomsRequest,
    ) -> Result<RoomsPage> {
        let limit = request.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
        let mut found = vec![self.local_rooms(caller, request, limit + 1)];
        if let Some(nodes) = self.cluster().nodes() {
            found.push(cluster_rooms(nodes, caller, request, limit + 1).await?);
        }
        let comparisons = found.iter().map(|found| found.comparisons).sum::<usize>();
        self.rates()
            .charge(caller, comparisons / COMPARISONS_PER_PERMIT, Instant::now());
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
        if self.backend().cluster.is_some() {
            self.rates()
                .charge(caller, rooms.len() / ROOMS_PER_PERMIT, Instant::now());
        }
        let rooms = futures_util::stream::iter(rooms).map(|room| async move {
            let counts = self.count_members(caller, &room).await?;
            Ok(LiveRoom { room, counts })
        });
        Ok(RoomsPage {
            rooms: rooms.buffered(CONCURRENT_COUNTS).try_collect().await?,
            next,
        })
    }

    /// The first rooms that are live on this node.
    fn local_rooms(
        &self,
        caller: &impl Caller,
        request: &RoomsRequest,
        max: usize,
    ) -> SearchResult {
        let rooms = self.rooms();
        let mut search = RoomSearch::new(caller, &request.prefix, request.after.as_ref(), max);
        while let Some(query) = search.next_query() {
            let (namespace, after) = (caller.namespace(), query.after.as_ref());
            let names = rooms
                .index()
                .page(namespace, &query.prefix, after, query.limit);
            search.add_names(&query, names, |room| {
                caller.may(Permission::Join, room) && rooms.is_occupied(&caller.room_key(room))
            });
        }
        search.finish()
    }

    /// A room's position and its members.
    ///
    /// # Errors
    /// Fails with `forbidden` if the caller may not join it, `bad_request` if its name is longer than configured, and `unavailable`
    /// if its log or its members cannot be read.
    pub async fn room(&self, caller: &impl Caller, room: RoomName) -> Result<RoomState> {
        if !caller.may(Permission::Join, &room) {
            return Err(Error::forbidden(format!(
                "this identity may not join {room}"
            )));
        }
        self.limiter().check_name(room.bytes())?;
        let log = &self.backend().log;
        let page = log
            .read(&caller.room_key(&room), Range::Last, PageSize::NOTHING)
            .await?;
        Ok(RoomState {
            epoch: page.epoch,
            seq: page.head,
            counts: self.count_members(caller, &room).await?,
            room,
        })
    }

    /// The members of a room on all nodes; `None` if the caller may not see them.
    async fn count_members(
        &self,
        caller: &impl Caller,
        room: &RoomName,
    ) -> Result<Option<RoomCounts>> {
        if !caller.may(Permission::Presence, room) {
            return Ok(None);
        }
        let key = caller.room_key(room);
        let found = self.rooms().with(&key, |room| {
            room.is_roster_loaded().then(|| RoomCounts {
                users: room.user_count(),
                connections: room.connection_count(),
            })
        });
        let counts = match (found.flatten(), &self.backend().cluster) {
            (Some(counts), _) => counts,
            (None, Some(nodes)) => {
                let roster = nodes.room_users(&key, None, 0).await?;
                self.rates()
                    .charge(caller, roster.count / USERS_PER_PERMIT, Instant::now());
                RoomCounts {
                    users: roster.count,
                    connections: roster.connections,
                }
            }
            (None, None) => RoomCounts::default(),
        };
        Ok(Some(counts))
    }
}

/// The first rooms that are live on any node.
async fn cluster_rooms(
    nodes: &dyn ClusterNodes,
    caller: &impl Caller,
    request: &RoomsRequest,
    max: usize,
) -> Result<SearchResult> {
    let mut search = RoomSearch::new(caller, &request.prefix, request.after.as_ref(), max);
    while let Some(query) = search.next_query() {
        let (namespace, after) = (caller.namespace(), query.after.as_ref());
        let names = nodes.occupied_rooms(namespace, &query.prefix, after, query.limit);
        search.add_names(&query, names.await?, |room| {
            caller.may(Permission::Join, room)
        });
    }
    Ok(search.finish())
}

#[cfg(test)]
mod tests;
