//! Taking users out: of a room, or altogether.
//!
//! Each is one call with plain words, about this node's connections; whatever tells other nodes has them call the same.

use futures_util::future::join_all;

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
        // Each waits for its own turn: one that is slow to take what it has missed does not keep the others in.
        let lost = std::slice::from_ref(&room.room);
        let left = join_all(
            there
                .iter()
                .map(|connection| self.expel(connection, lost, reason)),
        );
        let left = left.await.into_iter().sum();
        self.0.rooms.dismiss(room, user);
        // Sessions that have ended have nobody who stores them anew.
        let sessions = &self.0.backend.sessions;
        sessions.expel(user.clone(), room.clone()).await?;
        Ok(left)
    }

    /// Takes a connection out of rooms, and tells it why. Answers how many of them it was in.
    pub(super) async fn expel(
        &self,
        connection: &Connection,
        rooms: &[RoomName],
        reason: &str,
    ) -> usize {
        // At once: the connection's turn comes when its client has taken what it missed, and that can be whenever it likes.
        let mut left = rooms.to_vec();
        left.retain(|room| connection.leave(room));
        for room in &left {
            self.0.rooms.leave(&connection.key(room), connection);
        }
        if left.is_empty() {
            return 0;
        }
        // Behind the answers of joins that are under way.
        let _turn = connection.turn().await;
        for room in &left {
            connection.outlet().expelled(room);
            connection.push(&kicked(room, reason));
        }
        // Were it resumed from what is stored, it would be in there again.
        if let Err(error) = self.save(connection, None).await {
            tracing::debug!(%error, "a session without its lost rooms could not be stored");
        }
        left.len()
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
