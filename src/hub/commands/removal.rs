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
pub(super) const REMOVED: &str = "removed";

impl Hub {
    /// Removes every connection of a user from a room, on every node, and tells it `reason`. The other members are told at once
    /// that the user has left, also where only its grace time was still running, and no session of the user brings it back.
    /// Returns how many connections were removed; the user may join again.
    ///
    /// # Errors
    /// Fails with `bad_request` for the user's own personal room. Fails with `unavailable` if other nodes or stored sessions cannot be
    /// reached; on this node the user is removed all the same.
    pub async fn kick(&self, room: &RoomKey, user: &UserId, reason: &str) -> Result<usize> {
        if room.room.belongs_to(user) {
            return Err(Error::bad_request("the personal room cannot be left"));
        }
        let mut count = self.kick_locally(room, user, reason);
        // Sessions whose connections have ended are not stored again by them.
        let sessions = &self.backend().sessions;
        let stored = sessions.remove_from_room(user.clone(), room.clone(), reason.to_owned());
        let stored = stored.await;
        count += self.kick_locally(room, user, reason);
        let request = ClusterRequest::Kick {
            namespace: room.namespace.clone(),
            room: room.room.clone(),
            user: user.clone(),
            reason: reason.to_owned(),
            silently: false,
        };
        self.on_all_nodes(count, stored, &request).await
    }

    /// Removes every connection of a user on this node from a room.
    pub(in crate::hub) fn kick_locally(
        &self,
        room: &RoomKey,
        user: &UserId,
        reason: &str,
    ) -> usize {
        let connections = self
            .connection_table()
            .of_user(user)
            .into_iter()
            .filter(|connection| *connection.namespace() == room.namespace);
        let rooms = std::slice::from_ref(&room.room);
        let mut count = 0;
        for connection in connections {
            count += usize::from(self.kick_connection(&connection, rooms, reason));
        }
        self.rooms().end_grace(room, user);
        count
    }

    /// Removes a connection from rooms and sends it `kicked` events; true if it was in one of them.
    pub(in crate::hub) fn kick_connection(
        &self,
        connection: &Arc<Connection>,
        rooms: &[RoomName],
        reason: &str,
    ) -> bool {
        let left = self.remove_from(connection, rooms, reason);
        if left.is_empty() {
            return false;
        }
        // The caller does not wait until each client has read what it missed.
        let (hub, connection, reason) = (self.clone(), connection.clone(), reason.to_owned());
        tokio::spawn(async move { hub.notify_removals(&connection, &left, &reason).await });
        true
    }

    /// Sends the request to the other nodes and adds their counts to `local`.
    pub(super) async fn on_all_nodes(
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
    /// which is up to the client. Returns the rooms that it was in; call [`notify_removals`](Self::notify_removals) for these.
    pub(in crate::hub) fn remove_from(
        &self,
        connection: &Connection,
        rooms: &[RoomName],
        reason: &str,
    ) -> Vec<RoomName> {
        let mut left = rooms.to_vec();
        left.retain(|room| connection.remove_room(room));
        for room in &left {
            connection.note_removal(room, reason);
            self.rooms()
                .remove_member(&connection.room_key(room), connection);
            connection.sink().room_left(room);
        }
        left
    }

    /// Sends a connection `kicked` events for rooms that it was removed from, after the replies to joins that are in progress.
    pub(in crate::hub) async fn notify_removals(
        &self,
        connection: &Connection,
        left: &[RoomName],
        reason: &str,
    ) {
        if left.is_empty() {
            return;
        }
        let turn = connection.lock_memberships().await;
        for room in left {
            connection.push(&kicked_event(room, reason));
        }
        drop(turn);
        self.settle_removals(connection).await;
        self.schedule_removals_cleanup(connection);
    }

    /// Stores that a connection was removed from rooms, once the joins in progress have ended.
    pub(super) async fn settle_removals(&self, connection: &Connection) {
        let _turn = connection.lock_memberships().await;
        // A client that resumes the stored session would be in the rooms again.
        if let Err(error) = self.save_session(connection, None).await {
            tracing::debug!(%error, "session not stored after its removal from rooms");
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
            if let Err(error) = hub.save_session(&connection, None).await {
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
                    self.kick_connection(connection, std::slice::from_ref(room), reason);
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
