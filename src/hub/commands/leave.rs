//! `leave`: a connection stops being a member of a room.

use crate::{
    error::{Error, Result},
    hub::{Connection, Hub, connections::connection_closing, rooms::status::check_joined},
    model::RoomName,
};

impl Hub {
    /// Removes `connection` from `room`. What was stored there before is delivered to it first.
    ///
    /// # Errors
    /// Fails with `forbidden` for the personal room, `not_joined` if it is not in the room, and `unavailable` if the connection is closing
    /// or its session cannot be stored.
    pub async fn leave(&self, connection: &Connection, room: &RoomName) -> Result<()> {
        if room.belongs_to(&connection.principal().user) {
            return Err(Error::forbidden("the personal room cannot be left"));
        }
        check_joined(connection, room)?;
        let _turn = connection.lock_memberships().await;
        self.backend().bus.flush().await;
        if !self.catch_up(connection).await {
            return Err(connection_closing());
        }
        if self.save_session_without(connection, room).await? {
            self.rooms()
                .remove_member(&connection.room_key(room), connection);
            connection.sink().room_left(room);
        }
        Ok(())
    }
}
