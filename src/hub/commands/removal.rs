//! Taking users out: of a room, or altogether, on every node.
//!
//! A client may come back meanwhile, by a session from before. So those that are here are looked for once more when the
//! store's sessions are done: whoever comes back after that finds its session without the room, or none
//! ([`Hub::connect`] reads it again).

use std::sync::Arc;

use crate::hub::{
    CloseReason, Connection, Hub,
    connections::REMOVAL_NOTICE_TTL,
    connections::kicked_event,
    peers::{Ask, PATIENCE},
};
use crate::{
    error::{Error, Result},
    model::{RoomKey, RoomName, UserId},
};

/// A session has lost a room while its client was on its way back: the reason that is told.
const REMOVED: &str = "removed";

impl Hub {
    /// Takes every connection of a user out of a room, on every node, and tells it `reason`. The others hear at once that the
    /// user has left, also where only its grace time was still running, and no session of the user brings it back. Answers
    /// how many connections were taken out; the user may join again.
    ///
    /// # Errors
    /// `unavailable` if other nodes or their sessions cannot be reached; on this one it is done all the same.
    pub async fn kick(&self, room: &RoomKey, user: &UserId, reason: &str) -> Result<usize> {
        if room.room.belongs_to(user) {
            return Err(Error::bad_request("the personal room cannot be left"));
        }
        let mut here = self.kick_here(room, user, reason);
        // Sessions that have ended have nobody who stores them anew.
        let sessions = &self.0.backend.sessions;
        let stored = sessions.expel(user.clone(), room.clone(), reason.to_owned());
        let stored = stored.await;
        here += self.kick_here(room, user, reason);
        let ask = Ask::Kick {
            namespace: room.namespace.clone(),
            room: room.room.clone(),
            user: user.clone(),
            reason: reason.to_owned(),
        };
        self.everywhere(here, stored, &ask).await
    }

    /// Takes every connection of a user on this node out of a room.
    pub(in crate::hub) fn kick_here(&self, room: &RoomKey, user: &UserId, reason: &str) -> usize {
        let there = self
            .connections_of(user)
            .into_iter()
            .filter(|connection| *connection.namespace() == room.namespace);
        let lost = std::slice::from_ref(&room.room);
        let mut count = 0;
        for connection in there {
            count += usize::from(self.expel(&connection, lost, reason));
        }
        self.0.rooms.end_grace(room, user);
        count
    }

    /// Takes a connection out of rooms and tells it; true if it was in one of them.
    pub(in crate::hub) fn expel(
        &self,
        connection: &Arc<Connection>,
        lost: &[RoomName],
        reason: &str,
    ) -> bool {
        let left = self.take_out(connection, lost, reason);
        if left.is_empty() {
            return false;
        }
        // Whoever asked for this does not wait until each client has taken what it missed.
        let (hub, connection, reason) = (self.clone(), connection.clone(), reason.to_owned());
        tokio::spawn(async move { hub.tell_lost(&connection, &left, &reason).await });
        true
    }

    /// Has other nodes do what was done here, and adds up.
    async fn everywhere(&self, here: usize, stored: Result<()>, ask: &Ask) -> Result<usize> {
        let elsewhere = self.ask_others::<usize>(ask, PATIENCE).await;
        let elsewhere = match stored {
            Ok(()) => elsewhere,
            Err(error) => Err(error),
        };
        match elsewhere {
            Ok(counts) => Ok(counts.into_iter().fold(here, usize::saturating_add)),
            Err(error) => {
                let message = "this was done on this node, but perhaps not on others; try again";
                Err(Error::unavailable(message).caused_by(error))
            }
        }
    }

    /// Takes a connection out of rooms at once: its turn comes when its client has taken what it missed, and that can be
    /// whenever it likes. Answers those that it was in; [`tell_lost`](Self::tell_lost) is to be called for these.
    pub(in crate::hub) fn take_out(
        &self,
        connection: &Connection,
        rooms: &[RoomName],
        reason: &str,
    ) -> Vec<RoomName> {
        let mut left = rooms.to_vec();
        left.retain(|room| connection.remove_room(room));
        for room in &left {
            connection.note_removal(room, reason);
            self.0
                .rooms
                .remove_member(&connection.key(room), connection);
            connection.sink().room_left(room);
        }
        left
    }

    /// Tells a connection why it is not in rooms any more, behind the answers of joins that are under way.
    pub(in crate::hub) async fn tell_lost(
        &self,
        connection: &Connection,
        left: &[RoomName],
        reason: &str,
    ) {
        if left.is_empty() {
            return;
        }
        let _turn = connection.lock_memberships().await;
        for room in left {
            // Once more: the answer to a join may have come in between.
            connection.sink().room_left(room);
            connection.push(&kicked_event(room, reason));
        }
        // Were it resumed from what is stored, it would be in there again.
        if let Err(error) = self.save_session(connection, None).await {
            tracing::debug!(%error, "a session without its lost rooms could not be stored");
        }
        self.forget_lost(connection);
    }

    /// Stores a connection's session once more when its client has heard which rooms it was taken out of. Until then a client
    /// that comes back is told again.
    pub(in crate::hub) fn forget_lost(&self, connection: &Connection) {
        let Some(connection) = self.0.connections.get(&connection.id()) else {
            return;
        };
        let (hub, connection) = (Arc::downgrade(&self.0), Arc::downgrade(connection.value()));
        tokio::spawn(async move {
            tokio::time::sleep(REMOVAL_NOTICE_TTL).await;
            let (Some(hub), Some(connection)) = (hub.upgrade(), connection.upgrade()) else {
                return;
            };
            if let Err(error) = Hub(hub).save_session(&connection, None).await {
                tracing::debug!(%error, "a session could not be stored without what its client was told");
            }
        });
    }

    /// Ends every connection of a user, over all namespaces and on every node, and its sessions, also those that could
    /// have been resumed. Answers how many connections there were; the user may connect again.
    ///
    /// # Errors
    /// `unavailable` if other nodes or their sessions cannot be reached; on this one it is done all the same.
    pub async fn disconnect_user(&self, user: &UserId) -> Result<usize> {
        let mut here = self.disconnect_here(user);
        // Those of connections that have just been closed are forgotten again at their end: until then they may be stored
        // once more.
        let forgotten = self.0.backend.sessions.forget_user(user.clone()).await;
        here += self.disconnect_here(user);
        let ask = Ask::Disconnect { user: user.clone() };
        self.everywhere(here, forgotten, &ask).await
    }

    /// Ends every connection of a user on this node that is not about to end for good already.
    pub(in crate::hub) fn disconnect_here(&self, user: &UserId) -> usize {
        let mut connections = self.connections_of(user);
        connections.retain(|connection| !connection.has_ended_session());
        for connection in &connections {
            connection.close(CloseReason::Removed);
        }
        connections.len()
    }

    /// Does to a connection whose session was read from the store what was done to that since: nobody else could, before
    /// the connection was known. False if there is no session any more.
    pub(in crate::hub) async fn heed_removals(&self, connection: &Arc<Connection>) -> bool {
        let Some(pid) = connection.pid() else {
            return true;
        };
        match self.0.backend.sessions.find(pid).await {
            Ok(Some(session)) => {
                let mut lost = connection.rooms();
                lost.retain(|room| session.rooms.iter().all(|(kept, _)| kept != room));
                for room in &lost {
                    let said = session.lost.iter().find(|(name, _)| name == room);
                    let reason = said.map_or(REMOVED, |(_, reason)| reason);
                    self.expel(connection, std::slice::from_ref(room), reason);
                }
            }
            Ok(None) => {
                connection.close(CloseReason::Removed);
                return false;
            }
            Err(error) => tracing::debug!(%error, "a session could not be read again"),
        }
        true
    }
}
