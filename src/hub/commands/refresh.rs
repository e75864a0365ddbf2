//! `refresh`: a new token for a connection that stays.

use crate::hub::{Connection, Hub, connections::FORBIDDEN_REASON};
use crate::{
    auth::{Permission, Principal},
    error::{Error, Result},
    model::{RoomName, Timestamp},
};

impl Hub {
    /// Replaces what a connection may do by what `token` says; the user has to be the same. Rooms that the new
    /// identity may not join are left, and the connection is told. Answers when the new identity ends.
    pub async fn refresh(&self, connection: &Connection, token: &str) -> Result<Option<Timestamp>> {
        if self.0.authority.is_open() {
            return Err(Error::bad_request(
                "this server checks no tokens: there is nothing to refresh",
            ));
        }
        let principal = self.0.authority.verify(token, Timestamp::now()).await?;
        if principal.user != connection.principal().user {
            return Err(Error::forbidden(
                "the new token speaks for another user; connect again with it instead",
            ));
        }
        let expires_at = principal.expires_at;
        let lost = rooms_out_of_reach(connection, &principal);
        let shows_another = shows_another(&connection.principal(), &principal);
        connection.set_principal(principal);
        if shows_another {
            connection.local_user().profile_changed();
        }
        for room in connection.rooms() {
            self.0.rooms.with(&connection.key(&room), |room| {
                room.update_permissions(connection)
            });
        }
        let left = self.take_out(connection, &lost, FORBIDDEN_REASON);
        self.tell_lost(connection, &left, FORBIDDEN_REASON).await;
        self.announce_status(connection, None);
        Ok(expires_at)
    }
}

/// Whether the new identity brings another name or other information to show.
fn shows_another(old: &Principal, new: &Principal) -> bool {
    let info = |of: &Principal| of.info.as_deref().map(|info| info.get().to_owned());
    old.name != new.name || info(old) != info(new)
}

fn rooms_out_of_reach(connection: &Connection, principal: &Principal) -> Vec<RoomName> {
    let mut rooms = connection.rooms();
    rooms.retain(|room| !principal.may(Permission::Join, room));
    rooms
}
