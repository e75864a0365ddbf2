//! Taking users out: of a room, or altogether.
//!
//! Each is one call with plain words, about this node's connections; whatever tells other nodes has them call the same.

use super::{Close, Connection, Hub, session::kicked};
use crate::{
    error::{Error, Result},
    model::{RoomKey, RoomName, UserId},
};

impl Hub {
    /// Takes every connection of a user out of a room and tells it `reason`. The others hear at once that the user has
    /// left, also where only its grace time was still running, and no session of the user brings it back. Answers how many
    /// connections were taken out; the user may join again.
    pub async fn kick(&self, room: &RoomKey, user: &UserId, reason: &str) -> Result<usize> {
        if room.room.belongs_to(user) {
            return Err(Error::bad_request("the personal room cannot be left"));
        }
        let there: Vec<_> = self
            .connections_of(user)
            .into_iter()
            .filter(|connection| *connection.namespace() == room.namespace)
            .filter(|connection| connection.is_in(&room.room))
            .collect();
        let lost = std::slice::from_ref(&room.room);
        let mut count = 0;
        for connection in there {
            let left = self.take_out(&connection, lost);
            if left.is_empty() {
                continue;
            }
            count += 1;
            // Whoever asked for this does not wait until each client has taken what it missed.
            let (hub, reason) = (self.clone(), reason.to_owned());
            tokio::spawn(async move { hub.tell_lost(&connection, &left, &reason).await });
        }
        self.0.rooms.dismiss(room, user);
        // Sessions that have ended have nobody who stores them anew.
        let sessions = &self.0.backend.sessions;
        sessions.expel(user.clone(), room.clone()).await?;
        Ok(count)
    }

    /// Takes a connection out of rooms at once: its turn comes when its client has taken what it missed, and that can be
    /// whenever it likes. Answers those that it was in; [`tell_lost`](Self::tell_lost) is to be called for these.
    pub(super) fn take_out(&self, connection: &Connection, rooms: &[RoomName]) -> Vec<RoomName> {
        let mut left = rooms.to_vec();
        left.retain(|room| connection.leave(room));
        for room in &left {
            self.0.rooms.leave(&connection.key(room), connection);
            connection.outlet().expelled(room);
        }
        left
    }

    /// Tells a connection why it is not in rooms any more, behind the answers of joins that are under way.
    pub(super) async fn tell_lost(&self, connection: &Connection, left: &[RoomName], reason: &str) {
        if left.is_empty() {
            return;
        }
        let _turn = connection.turn().await;
        for room in left {
            // Once more: the answer to a join may have come in between.
            connection.outlet().expelled(room);
            connection.push(&kicked(room, reason));
        }
        // Were it resumed from what is stored, it would be in there again.
        if let Err(error) = self.save(connection, None).await {
            tracing::debug!(%error, "a session without its lost rooms could not be stored");
        }
    }

    /// Ends every connection of a user, over all namespaces, and its sessions, also those that could have been
    /// resumed. Answers how many connections there were; the user may connect again.
    pub async fn disconnect_user(&self, user: &UserId) -> Result<usize> {
        let connections = self.connections_of(user);
        for connection in &connections {
            connection.close(Close::Removed);
        }
        // Those of connections that have just been closed are forgotten again at their end: until then they may be stored
        // once more.
        let forgotten = self.0.backend.sessions.forget_user(user.clone()).await;
        forgotten.map(|()| connections.len())
    }
}
