//! Lists live rooms a page at a time, and returns the state of one room.

use std::{collections::BTreeSet, time::Instant};

use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::hub::{
    ActiveRooms, Caller, Hub,
    cluster::{client::REQUEST_TIMEOUT, request::ClusterRequest},
    rooms::presence_query::USERS_PER_PERMIT,
    rooms::search::{RoomSearch, SearchResult},
};
use crate::{
    auth::Permission,
    backend::{ClusterNodes, PageSize, Range},
    error::{Error, Result},
    model::{Epoch, Namespace, RoomKey, RoomName, Seq},
    policies::PresenceRule,
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
    /// With their events per second; only for callers without an identity.
    pub rates: bool,
}

/// A room with members, or with users who have only just left.
#[derive(Clone, Debug, Serialize)]
pub struct LiveRoom {
    /// Its name.
    pub room: RoomName,
    /// Its members; `None` if this identity may not see them.
    #[serde(flatten)]
    pub counts: Option<RoomCounts>,
    /// Its events per second over the last ten seconds, stored or not; `None` if that was not asked for, or no node could say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<f64>,
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
            let may_list = |room: &RoomName| self.may_list(caller, room);
            let rooms = cluster_rooms(nodes, caller, (request, limit + 1), may_list);
            found.push(rooms.await?);
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
        let rates = match request.rates && caller.identity().is_none() {
            true => self.event_rates(caller.namespace(), &rooms).await,
            false => vec![None; rooms.len()],
        };
        let rooms = futures_util::stream::iter(rooms.into_iter().zip(rates));
        let rooms = rooms.map(|(room, events_per_second)| async move {
            let counts = self.count_members(caller, &room).await?;
            Ok(LiveRoom {
                room,
                counts,
                events_per_second,
            })
        });
        Ok(RoomsPage {
            rooms: rooms.buffered(CONCURRENT_COUNTS).try_collect().await?,
            next,
        })
    }

    /// The events per second of rooms. A node with members delivers all events of a room, so any such node knows; others are asked
    /// only about rooms that this node does not have.
    async fn event_rates(&self, namespace: &Namespace, rooms: &[RoomName]) -> Vec<Option<f64>> {
        let mut rates = self.local_event_rates(namespace, rooms);
        let (places, unknown): (Vec<_>, Vec<_>) = (0..)
            .zip(rooms)
            .filter(|(nth, _)| rates[*nth].is_none())
            .map(|(nth, room)| (nth, room.clone()))
            .unzip();
        if unknown.is_empty() || self.cluster().is_single_node() {
            return rates;
        }
        let request = ClusterRequest::EventRates {
            namespace: namespace.clone(),
            rooms: unknown,
        };
        let responses = self
            .cluster()
            .request::<Vec<Option<f64>>>(&request, REQUEST_TIMEOUT);
        // The list is of use without them.
        for response in responses.await.unwrap_or_default() {
            for (nth, rate) in places.iter().zip(response) {
                rates[*nth] = match (rates[*nth], rate) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    (a, b) => a.or(b),
                };
            }
        }
        rates
    }

    /// The events per second of rooms on this node; `None` for those that are not in use here.
    pub(in crate::hub) fn local_event_rates(
        &self,
        namespace: &Namespace,
        rooms: &[RoomName],
    ) -> Vec<Option<f64>> {
        let now = Instant::now();
        let rates = rooms.iter().map(|room| {
            let key = RoomKey {
                namespace: namespace.clone(),
                room: room.clone(),
            };
            self.rooms().events_per_second(&key, now)
        });
        rates.collect()
    }

    /// The rooms of this node in a namespace with the most events, and those with the most connections.
    pub(crate) fn most_active_rooms(&self, namespace: &Namespace, limit: usize) -> ActiveRooms {
        self.rooms().most_active(namespace, limit, Instant::now())
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
                caller.may(Permission::Join, room)
                    && self.may_list(caller, room)
                    && rooms.is_occupied(&caller.room_key(room))
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
        self.permit_reading(caller, &room).await?;
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
        let is_shown = self.presence_rule(caller, room) != PresenceRule::Off;
        if !is_shown || !caller.may(Permission::Presence, room) {
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
    (request, max): (&RoomsRequest, usize),
    may_list: impl Fn(&RoomName) -> bool,
) -> Result<SearchResult> {
    let mut search = RoomSearch::new(caller, &request.prefix, request.after.as_ref(), max);
    while let Some(query) = search.next_query() {
        let (namespace, after) = (caller.namespace(), query.after.as_ref());
        let names = nodes.occupied_rooms(namespace, &query.prefix, after, query.limit);
        search.add_names(&query, names.await?, |room| {
            caller.may(Permission::Join, room) && may_list(room)
        });
    }
    Ok(search.finish())
}

#[cfg(test)]
mod tests;
