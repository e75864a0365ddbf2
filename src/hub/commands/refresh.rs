//! `refresh`: replaces the token of a live connection.

use crate::hub::{Connection, Hub, connections::FORBIDDEN_REASON};
use crate::{
    auth::Principal,
    error::{Error, Result},
    model::{RoomName, Timestamp},
};

impl Hub {
    /// Replaces a connection's identity by that of `token`; the user has to be the same. Rooms that the new identity may not
    /// join are left, and the connection is told. Returns when the token expires.
    ///
    /// # Errors
    /// `bad_request` if this server checks no tokens, `forbidden` for a token of another user, and whatever verifying it
    /// fails with.
    pub(crate) async fn refresh(
        &self,
        connection: &Connection,
        token: &str,
    ) -> Result<Option<Timestamp>> {
        if self.authority().has_application() {
            return Err(Error::bad_request(
                "the application decides who its clients are: connect again instead",
            ));
        }
        if self.authority().is_open() {
            return Err(Error::bad_request(
                "this server checks no tokens: there is nothing to refresh",
            ));
        }
        let principal = self.authority().verify(token, Timestamp::now()).await?;
        let principal = match connection.permitted_identity() {
            // What a hook has decided about the connection is not undone by a token.
            Some(identity) => identity.apply(&principal),
            None => Some(principal),
        };
        let same_user = |principal: &Principal| principal.user == connection.principal().user;
        let Some(principal) = principal.filter(same_user) else {
            return Err(Error::forbidden(
                "the new token speaks for another user; connect again with it instead",
            ));
        };
        let expires_at = principal.expires_at;
        let forbidden = forbidden_rooms(connection, &principal);
        let shows_differently = shows_differently(&connection.principal(), &principal);
        connection.set_principal(principal);
        if shows_differently {
            connection.local_user().profile_changed();
        }
        for room in connection.rooms() {
            self.rooms().with(&connection.room_key(&room), |room| {
                room.update_permissions(connection);
            });
        }
        let left = self.remove_from(connection, &forbidden, Some(FORBIDDEN_REASON));
        self.settle_removals(connection, &left, Some(FORBIDDEN_REASON))
            .await;
        self.announce_status(connection, None);
        Ok(expires_at)
    }
}

/// Whether the new identity has another name or other information that members see.
fn shows_differently(old: &Principal, new: &Principal) -> bool {
    let info = |of: &Principal| of.info.as_deref().map(|info| info.get().to_owned());
    old.name != new.name || info(old) != info(new)
}

/// The rooms of a connection that a new identity may not be in.
fn forbidden_rooms(connection: &Connection, principal: &Principal) -> Vec<RoomName> {
    let mut rooms = connection.rooms();
    rooms.retain(|room| !connection.may_be_in(principal, room));
    rooms
}
