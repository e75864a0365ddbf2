//! Removing users, from a room or altogether, on every node.
//!
//! A client may resume a session meanwhile. So local connections are looked up once more after the stored sessions have been
//! changed: a client that comes back after that finds its session without the room, or no session
//! ([`Hub::connect`] reads it again).

use std::sync::Arc;

use crate::hub::{
    CloseReason, Connection, Hub,
    cluster::{client::REQUEST_TIMEOUT, request::ClusterRequest},
    connections::REMOVAL_NOTICE_TTL,
    connections::kicked_event,
};
use crate::{
    error::{Error, Result},
    model::{RoomKey, RoomName, UserId},
};

/// The reason in `kicked` if the session was removed from a room while its client reconnected, and nothing else is known.
const REMOVED: &str = "removed";

impl Hub {
    /// Removes every connection of a user from a room, on every node, and tells it `reason`. The other members are told at once
    /// that the user has left, also where only its grace time was still running, and no session of the user brings it back.
    /// Returns how many connections were removed; the user may join again.
    ///
    /// # Errors
    /// Fails with `bad_request` for the user's own personal room. Fails with `unavailable` if other nodes or stored sessions cannot be
    /// reached; on this node the user is removed all the same.
    pub async fn kick(&self, room: &RoomKey, user: &UserId, reason: &str) -> Result<usize> {
        self.remove_everywhere(room, user, Some(reason)).await
    }

    /// As [`kick`](Self::kick), without the `kicked` event for clients that are connected.
    ///
    /// # Errors
    /// As [`kick`](Self::kick).
    pub async fn remove_user(&self, room: &RoomKey, user: &UserId) -> Result<usize> {
        self.remove_everywhere(room, user, None).await
    }

    /// Removes a user from a room on every node; `told` is the reason that its clients are told, if they are.
    async fn remove_everywhere(
        &self,
        room: &RoomKey,
        user: &UserId,
        told: Option<&str>,
    ) -> Result<usize> {
        if room.room.belongs_to(user) {
            return Err(Error::bad_request("the personal room cannot be left"));
        }
        let reason = told.unwrap_or(REMOVED).to_owned();
        let mut count = self.remove_locally(room, user, told);
        // Sessions whose connections have ended are not stored again by them.
        let sessions = &self.backend().sessions;
        let stored = sessions.remove_from_room(user.clone(), room.clone(), reason.clone());
        let stored = stored.await;
        count += self.remove_locally(room, user, told);
        // A node that does not know the last field tells the clients, and removes them all the same.
        let request = ClusterRequest::Kick {
            namespace: room.namespace.clone(),
            room: room.room.clone(),
            user: user.clone(),
            reason,
            silently: told.is_none(),
        };
        self.on_all_nodes(count, stored, &request).await
    }

    /// Removes every connection of a user on this node from a room.
    pub(in crate::hub) fn remove_locally(
        &self,
        room: &RoomKey,
        user: &UserId,
        told: Option<&str>,
    ) -> usize {
        let rooms = std::slice::from_ref(&room.room);
        let mut count = 0;
        for connection in self.connections_of(room, user) {
            count += usize::from(self.remove_connection(&connection, rooms, told));
        }
        self.rooms().end_grace(room, user);
        count
    }

    /// The connections of a user to a room's namespace on this node.
    pub(super) fn connections_of(&self, room: &RoomKey, user: &UserId) -> Vec<Arc<Connection>> {
        let mut connections = self.connection_table().of_user(user);
        connections.retain(|connection| *connection.namespace() == room.namespace);
        connections
    }

    /// Removes a connection from rooms, and sends it `kicked` events if it is `told` a reason; true if it was in one of them.
    pub(in crate::hub) fn remove_connection(
        &self,
        connection: &Arc<Connection>,
        rooms: &[RoomName],
        told: Option<&str>,
    ) -> bool {
        let left = self.remove_from(connection, rooms, told);
        if left.is_empty() {
            return false;
        }
        // The caller does not wait until each client has read what it missed.
        let (hub, connection) = (self.clone(), connection.clone());
        let told = told.map(str::to_owned);
        tokio::spawn(async move {
            hub.settle_removals(&connection, &left, told.as_deref())
                .await;
        });
        true
    }

    /// Sends the request to the other nodes and adds their counts to `local`.
    async fn on_all_nodes(
        &self,
        local: usize,
        stored: Result<()>,
        request: &ClusterRequest,
    ) -> Result<usize> {
        let remote = self
            .cluster()
            .request::<usize>(request, REQUEST_TIMEOUT)
            .await;
        match stored.and(remote) {
            Ok(counts) => Ok(counts.into_iter().fold(local, usize::saturating_add)),
            Err(error) => {
                let message = "this was done on this node, but perhaps not on others; try again";
                Err(Error::unavailable(message).caused_by(error))
            }
        }
    }

    /// Removes a connection from rooms at once, without waiting for its turn: that comes when its client has read what it missed,
    /// which is up to the client. Returns the rooms that it was in; call [`settle_removals`](Self::settle_removals) for these.
    pub(in crate::hub) fn remove_from(
        &self,
        connection: &Connection,
        rooms: &[RoomName],
        told: Option<&str>,
    ) -> Vec<RoomName> {
        let mut left = rooms.to_vec();
        left.retain(|room| connection.remove_room(room));
        for room in &left {
            if let Some(reason) = told {
                connection.note_removal(room, reason);
            }
            self.rooms()
                .remove_member(&connection.room_key(room), connection);
            connection.sink().room_left(room);
        }
        left
    }

    /// Stores a connection's session without rooms that it was removed from, after the replies to joins that are in progress, and sends it
    /// `kicked` events for them if it is `told` a reason.
    pub(in crate::hub) async fn settle_removals(
        &self,
        connection: &Connection,
        left: &[RoomName],
        told: Option<&str>,
    ) {
        if left.is_empty() {
            return;
        }
        let _turn = connection.lock_memberships().await;
        if let Some(reason) = told {
            for room in left {
                connection.push(&kicked_event(room, reason));
            }
        }
        // A client that resumes the stored session would be in the rooms again.
        if let Err(error) = self.save_session(connection).await {
            tracing::debug!(%error, "session not stored after its removal from rooms");
        }
        if told.is_some() {
            self.schedule_removals_cleanup(connection);
        }
    }

    /// Stores a connection's session once more after [`REMOVAL_NOTICE_TTL`], without the removals that its client has been sent.
    /// A client that resumes the session before that is sent them again.
    pub(in crate::hub) fn schedule_removals_cleanup(&self, connection: &Connection) {
        let Some(connection) = self.connection_table().get(&connection.id()) else {
            return;
        };
        let (hub, connection) = (self.downgrade(), Arc::downgrade(&connection));
        tokio::spawn(async move {
            tokio::time::sleep(REMOVAL_NOTICE_TTL).await;
            let (Some(hub), Some(connection)) = (hub.upgrade(), connection.upgrade()) else {
                return;
            };
            if let Err(error) = hub.save_session(&connection).await {
                tracing::debug!(%error, "session not stored after its client was told of its removal");
            }
        });
    }

    /// Closes every connection of a user, over all namespaces and on every node, and ends its sessions, also those that could
    /// have been resumed. Returns how many connections there were; the user may connect again.
    ///
    /// # Errors
    /// Fails with `unavailable` if other nodes or stored sessions cannot be reached; on this node the connections are closed all the
    /// same.
    pub async fn disconnect_user(&self, user: &UserId) -> Result<usize> {
        let mut count = self.disconnect_locally(user);
        // Sessions of connections that have just been closed are deleted again when these end: until then they may be stored
        // once more.
        let forgotten = self.backend().sessions.forget_user(user.clone()).await;
        count += self.disconnect_locally(user);
        let request = ClusterRequest::Disconnect { user: user.clone() };
        self.on_all_nodes(count, forgotten, &request).await
    }

    /// Closes every connection of a user on this node that is not about to end for good already.
    pub(in crate::hub) fn disconnect_locally(&self, user: &UserId) -> usize {
        let mut connections = self.connection_table().of_user(user);
        connections.retain(|connection| !connection.has_ended_session());
        for connection in &connections {
            connection.close(CloseReason::Removed);
        }
        connections.len()
    }

    /// Applies to a connection whose session was read from the store what was done to that since: before it was registered,
    /// nothing else could. False if there is no session any more.
    pub(in crate::hub) async fn apply_missed_removals(&self, connection: &Arc<Connection>) -> bool {
        let Some(pid) = connection.pid() else {
            return true;
        };
        match self.backend().sessions.find(pid).await {
            Ok(Some(session)) => {
                let mut removed = connection.rooms();
                removed.retain(|room| session.rooms.iter().all(|(name, _)| name != room));
                for room in &removed {
                    let noted = session.removals.iter().find(|(name, _)| name == room);
                    let reason = noted.map_or(REMOVED, |(_, reason)| reason);
                    self.remove_connection(connection, std::slice::from_ref(room), Some(reason));
                }
            }
            Ok(None) => {
                connection.close(CloseReason::Removed);
                return false;
            }
            Err(error) => tracing::debug!(%error, "session could not be read again"),
        }
        true
    }
}

#[cfg(test)]
mod tests;
