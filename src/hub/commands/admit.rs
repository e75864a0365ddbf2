//! An application decides who is in a room: it adds and removes connections whatever their grants, by connection or by user.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Join, Replay, join::JoinedBy, removal::REMOVED};
use crate::{
    error::{Error, Result},
    hub::{
        Connection, Hub,
        cluster::{client::REQUEST_TIMEOUT, request::ClusterRequest},
        connections::connection_closing,
    },
    model::{ConnectionId, RoomKey, RoomName, UserId},
};

/// How long one connection may take to be admitted with the others of its user; less than other nodes wait.
const ADMIT_TIMEOUT: Duration = Duration::from_millis(1500);

/// A connection that is in a room, on any node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoomConnection {
    /// Its id, the client's `socket.id`.
    pub id: ConnectionId,
    /// Its user.
    pub user: UserId,
}

impl Hub {
    /// Makes a connection a member of a room whatever its identity may do, without the reply to a client: live events begin at once. The
    /// membership outlives a recovery and a new token.
    ///
    /// # Errors
    /// Fails with `forbidden` for another user's personal room, `bad_request` if the room's name is longer than configured,
    /// `limit_reached` if it is in too many rooms, and `unavailable` if the connection is closing, or the log or its session cannot be
    /// read or stored.
    pub async fn admit(&self, connection: &Arc<Connection>, room: &RoomName) -> Result<()> {
        self.limiter().check_name(room.bytes())?;
        if room.is_personal() && !room.belongs_to(&connection.principal().user) {
            return Err(Error::forbidden("a personal room is its user's alone"));
        }
        let request = Join {
            room: room.clone(),
            replay: Replay::Nothing,
        };
        let joined = self.join_as(connection, request, JoinedBy::Application);
        self.go_live(&joined.await?);
        Ok(())
    }

    /// Makes every connection of a user a member of a room, on every node, whatever the user's grants. Connections that are opened later
    /// are not in it, except those that resume a session. Returns how many connections are in it now.
    ///
    /// # Errors
    /// Fails with `forbidden` for another user's personal room, and `unavailable` if other nodes cannot be reached. A connection that
    /// cannot join at once, because it is in too many rooms or its client reads slowly, is left out.
    pub async fn admit_user(&self, room: &RoomKey, user: &UserId) -> Result<usize> {
        if room.room.is_personal() && !room.room.belongs_to(user) {
            return Err(Error::forbidden("a personal room is its user's alone"));
        }
        let request = ClusterRequest::Admit {
            namespace: room.namespace.clone(),
            room: room.room.clone(),
            user: user.clone(),
        };
        let remote = self.cluster().request::<usize>(&request, REQUEST_TIMEOUT);
        let (local, remote) = tokio::join!(self.admit_locally(room, user), remote);
        Ok(remote?.into_iter().fold(local, usize::saturating_add))
    }

    /// Removes every connection of a user from a room, on every node, without the `kicked` event of [`kick`](Hub::kick) for
    /// clients that are connected. The user may join again. Returns how many connections were in it.
    ///
    /// # Errors
    /// Fails with `bad_request` for the user's own personal room. Fails with `unavailable` if other nodes or stored sessions cannot be
    /// reached; on this node the user is removed all the same.
    pub async fn remove_user(&self, room: &RoomKey, user: &UserId) -> Result<usize> {
        if room.room.belongs_to(user) {
            return Err(Error::bad_request("the personal room cannot be left"));
        }
        // A node that does not know the last field tells the clients, and removes them all the same.
        let request = ClusterRequest::Kick {
            namespace: room.namespace.clone(),
            room: room.room.clone(),
            user: user.clone(),
            reason: REMOVED.to_owned(),
            silently: true,
        };
        let mut count = self.remove_locally(room, user);
        let sessions = &self.backend().sessions;
        let stored = sessions.remove_from_room(user.clone(), room.clone(), REMOVED.to_owned());
        let stored = stored.await;
        count += self.remove_locally(room, user);
        self.on_all_nodes(count, stored, &request).await
    }

    /// The connections that are in a room, on all nodes, in no order.
    ///
    /// # Errors
    /// Fails with `unavailable` if other nodes cannot be reached.
    pub async fn connections_in(&self, room: &RoomKey) -> Result<Vec<RoomConnection>> {
        let request = ClusterRequest::Connections {
            namespace: room.namespace.clone(),
            room: room.room.clone(),
        };
        let remote = self
            .cluster()
            .request::<Vec<RoomConnection>>(&request, REQUEST_TIMEOUT);
        let mut connections: Vec<_> = remote.await?.into_iter().flatten().collect();
        connections.extend(self.local_connections_in(room));
        Ok(connections)
    }

    pub(in crate::hub) async fn admit_locally(&self, room: &RoomKey, user: &UserId) -> usize {
        let connections = self.connections_of(room, user).into_iter();
        let admitting = connections.map(async |connection| {
            // One whose client reads slowly has to catch up first.
            let admitted = timeout(ADMIT_TIMEOUT, self.admit(&connection, &room.room)).await;
            let admitted = admitted.unwrap_or_else(|_| Err(connection_closing()));
            if let Err(error) = &admitted {
                tracing::debug!(%error, ?connection, room = %room.room, "a connection cannot be admitted");
            }
            usize::from(admitted.is_ok())
        });
        join_all(admitting).await.into_iter().sum()
    }

    pub(in crate::hub) fn remove_locally(&self, room: &RoomKey, user: &UserId) -> usize {
        let connections = self.connections_of(room, user).into_iter();
        let in_room = connections.filter(|connection| self.remove_connection(connection, room));
        in_room.count()
    }

    /// Removes a connection from a room at once; true if it was in it.
    fn remove_connection(&self, connection: &Arc<Connection>, room: &RoomKey) -> bool {
        if !connection.remove_room(&room.room) {
            return false;
        }
        self.rooms().remove_member(room, connection);
        connection.sink().room_left(&room.room);
        // The caller does not wait until the client has read what it missed.
        let (hub, connection) = (self.clone(), connection.clone());
        tokio::spawn(async move { hub.settle_removals(&connection).await });
        true
    }

    /// The connections of this node that are in a room.
    pub(in crate::hub) fn local_connections_in(&self, room: &RoomKey) -> Vec<RoomConnection> {
        let members = self.rooms().members(room).into_iter();
        let connections = members.filter_map(|id| self.connection_table().get(&id));
        let connections = connections.filter(|connection| connection.is_in(&room.room));
        let shown = connections.map(|connection| RoomConnection {
            id: connection.id(),
            user: connection.principal().user.clone(),
        });
        shown.collect()
    }

    /// The connections of a user to a room's namespace on this node.
    fn connections_of(&self, room: &RoomKey, user: &UserId) -> Vec<Arc<Connection>> {
        let mut connections = self.connection_table().of_user(user);
        connections.retain(|connection| *connection.namespace() == room.namespace);
        connections
    }
}

#[cfg(test)]
mod tests;
