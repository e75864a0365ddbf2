//! An application decides who is in a room: it admits connections whatever their grants, by connection or by user.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Join, Replay, join::JoinedBy};
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
pub(in crate::hub) const ADMIT_TIMEOUT: Duration = Duration::from_millis(1500);

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
        check_owner(room, &connection.principal().user)?;
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
        check_owner(&room.room, user)?;
        let request = ClusterRequest::Admit {
            namespace: room.namespace.clone(),
            room: room.room.clone(),
            user: user.clone(),
        };
        let remote = self.cluster().request::<usize>(&request, REQUEST_TIMEOUT);
        let (local, remote) = tokio::join!(self.admit_locally(room, user), remote);
        Ok(remote?.into_iter().fold(local, usize::saturating_add))
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
}

/// Checks that a room may have a user's connections as members: a personal room has its own user's alone.
fn check_owner(room: &RoomName, user: &UserId) -> Result<()> {
    if room.is_personal() && !room.belongs_to(user) {
        return Err(Error::forbidden("a personal room is its user's alone"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
