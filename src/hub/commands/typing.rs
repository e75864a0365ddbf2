//! `typing`: a member starts or stops typing.

use std::time::Instant;

use crate::{
    auth::Permission,
    error::{Error, Limit, Result},
    hub::{Connection, Hub, rooms::status::check_joined},
    model::{RoomName, Seq},
};

impl Hub {
    /// Tells the other members that a member has started or stopped typing.
    ///
    /// # Errors
    /// Fails with `forbidden` if it may not publish in the room, and `not_joined` if it is not in it.
    pub fn typing(&self, connection: &Connection, room: &RoomName, typing: bool) -> Result<()> {
        self.typing_after(connection, room, typing, None)
    }

    /// As [`typing`](Self::typing), of a connection that has sent the message of that number to the room before.
    pub(super) fn typing_after(
        &self,
        connection: &Connection,
        room: &RoomName,
        typing: bool,
        after: Option<Seq>,
    ) -> Result<()> {
        let principal = connection.principal();
        if !principal.may(Permission::Publish, room) {
            return Err(Error::forbidden(format!(
                "this identity may not send to {room}"
            )));
        }
        check_joined(connection, room)?;
        self.check_typing_policy(room)?;
        self.rooms().with(&connection.room_key(room), |room| {
            let (user, name) = (&principal.user, principal.name.clone());
            if typing && room.rejects_typist(user) {
                self.metrics().limited(Limit::Typists);
            }
            let state = (typing, after);
            room.set_typing(connection.id(), user, name, state, Instant::now());
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
