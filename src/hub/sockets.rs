//! Sets of connections, as servers of other systems and operators name them: by rooms, by connections, and without others.
//!
//! Each node acts on its own connections: whoever names a set tells every node.

use std::{collections::HashSet, slice, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::{task::consume_budget, time::timeout};

use super::{
    CloseReason, Connection, Hub, PendingReply,
    cluster::{client::REQUEST_TIMEOUT, request::ClusterRequest},
    commands::ADMIT_TIMEOUT,
    event::{Event, OutgoingEvent},
};
use crate::{
    error::Result,
    model::{Audience, Broadcast, ConnectionId, EventPayload, Namespace, RoomKey, RoomName},
};

pub(in crate::hub) mod set;

pub(crate) use set::{SocketChange, SocketName, SocketSet};

/// How many connections are admitted at the same time.
const CONCURRENT_JOINS: usize = 64;

impl Hub {
    /// Whether this node has a connection of that name.
    pub(crate) fn has_socket(&self, namespace: &Namespace, name: &SocketName) -> bool {
        match name {
            SocketName::Room(room) => {
                let key = RoomKey {
                    namespace: namespace.clone(),
                    room: room.clone(),
                };
                self.rooms().with(&key, |_| ()).is_some()
            }
            SocketName::Connection(id) => self.connection_table().get(id).is_some(),
        }
    }

    /// Sends an event to the connections of a set, behind what was sent to them before.
    ///
    /// # Errors
    /// `unavailable` if the server is stopping.
    pub(crate) async fn send_to_sockets(&self, set: &SocketSet, event: EventPayload) -> Result<()> {
        for mut broadcast in self.without_strangers(set).broadcasts(event) {
            if let Err(error) = self.retain_open_rooms(&mut broadcast) {
                tracing::debug!(%error, "an event of another system is for no room that takes it");
                continue;
            }
            self.backend().bus.send_here(Arc::new(broadcast)).await?;
        }
        Ok(())
    }

    /// Sends an event to the connections of a set, and returns the replies of those that can reply.
    pub(crate) async fn ask_sockets(
        &self,
        set: &SocketSet,
        event: EventPayload,
        within: Duration,
    ) -> Vec<PendingReply> {
        self.flush_broadcasts().await;
        let broadcast = Broadcast {
            namespace: set.namespace.clone(),
            to: Audience::Everybody,
            except: Vec::new(),
            except_rooms: Vec::new(),
            event,
        };
        let event = OutgoingEvent::new(Event::Broadcast(Arc::new(broadcast)));
        let asked = self.sockets(set).into_iter();
        asked
            .filter_map(|connection| {
                let reply = connection.sink().push_with_reply(&event, within);
                if reply.is_none() {
                    connection.push(&event);
                }
                reply
            })
            .collect()
    }

    /// Changes the connections of a set on all nodes.
    ///
    /// # Errors
    /// `unavailable` if other nodes cannot be reached; on this node it is done all the same.
    pub(crate) async fn change_sockets(&self, set: &SocketSet, change: SocketChange) -> Result<()> {
        let request = ClusterRequest::ChangeSockets(set.clone(), change.clone());
        let remote = self.cluster().request::<()>(&request, REQUEST_TIMEOUT);
        let (remote, ()) = tokio::join!(remote, self.change_local_sockets(set, &change));
        remote.map(drop)
    }

    /// Changes the connections of a set on this node.
    pub(super) async fn change_local_sockets(&self, set: &SocketSet, change: &SocketChange) {
        match change {
            SocketChange::Join(room) => self.join_sockets(set, slice::from_ref(room)).await,
            SocketChange::Leave(room) => self.leave_sockets(set, slice::from_ref(room)).await,
            SocketChange::Disconnect => self.disconnect_sockets(set).await,
        }
    }

    /// The connections of a set, in no order.
    pub(crate) fn sockets(&self, set: &SocketSet) -> Vec<Arc<Connection>> {
        let excluded = self.ids(set, &set.except);
        let mut sockets = match &set.of {
            None => self.connections(),
            Some(of) => {
                let ids = self.ids(set, of).into_iter();
                ids.filter_map(|id| self.connection_table().get(&id))
                    .collect()
            }
        };
        sockets.retain(|connection| {
            *connection.namespace() == set.namespace && !excluded.contains(&connection.id())
        });
        sockets
    }

    /// The rooms of a namespace that connections of this node are in.
    pub(crate) fn rooms_of(&self, namespace: &Namespace) -> Vec<RoomName> {
        let keys = self.rooms().keys().into_iter();
        let keys = keys.filter(|key| key.namespace == *namespace && self.rooms().is_occupied(key));
        keys.map(|key| key.room).collect()
    }

    /// Makes the connections of a set members of rooms, whatever their identities may do. Those that cannot join at once are left out.
    pub(crate) async fn join_sockets(&self, set: &SocketSet, rooms: &[RoomName]) {
        let joins = self.sockets(set).into_iter().flat_map(|connection| {
            let rooms = rooms.iter().filter(|room| !connection.is_in(room));
            let rooms: Vec<_> = rooms.cloned().collect();
            rooms
                .into_iter()
                .map(move |room| (connection.clone(), room))
        });
        let admit = async |(connection, room): (Arc<Connection>, RoomName)| match timeout(
            ADMIT_TIMEOUT,
            self.admit(&connection, &room),
        )
        .await
        {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, ?connection, %room, "a socket cannot join");
            }
            Err(_) => tracing::debug!(?connection, %room, "a socket does not join in time"),
        };
        stream::iter(joins)
            .for_each_concurrent(CONCURRENT_JOINS, admit)
            .await;
    }

    /// Ends the memberships of the connections of a set in rooms, behind what was sent to them before. Personal rooms cannot be left.
    pub(crate) async fn leave_sockets(&self, set: &SocketSet, rooms: &[RoomName]) {
        self.flush_broadcasts().await;
        let rooms: Vec<_> = rooms
            .iter()
            .filter(|it| !it.is_personal())
            .cloned()
            .collect();
        for connection in self.sockets(set) {
            self.remove_connection(&connection, &rooms, None);
            consume_budget().await;
        }
    }

    /// Disconnects the connections of a set, behind what was sent to them before. Their clients do not reconnect by themselves.
    pub(crate) async fn disconnect_sockets(&self, set: &SocketSet) {
        self.flush_broadcasts().await;
        for connection in self.sockets(set) {
            connection.close(CloseReason::Removed);
            // Its end takes a moment, and what is sent meanwhile is not for it any more.
            connection.subscriber().close();
            consume_budget().await;
        }
    }

    /// The set without names of connections that are not of this node: a broadcast for each would find nobody.
    fn without_strangers(&self, set: &SocketSet) -> SocketSet {
        let mut set = set.clone();
        let is_here = |name: &SocketName| match name {
            SocketName::Room(_) => true,
            SocketName::Connection(_) => self.has_socket(&set.namespace, name),
        };
        let of = set.of.as_ref();
        set.of = of.map(|of| of.iter().filter(|name| is_here(name)).cloned().collect());
        set
    }

    /// The ids of this node's connections with one of these names.
    fn ids(&self, set: &SocketSet, names: &[SocketName]) -> HashSet<ConnectionId> {
        let mut ids = HashSet::new();
        for name in names {
            match name {
                SocketName::Room(room) => ids.extend(self.rooms().members(&set.key(room))),
                SocketName::Connection(id) => {
                    ids.insert(*id);
                }
            }
        }
        ids
    }
}

#[cfg(test)]
mod tests;
