//! The `presence` command: who is in a room.

use std::time::Instant;

use serde::Serialize;

use super::presence::{PresentUser, UserPage};
use crate::{
    auth::Permission,
    error::{Error, Result},
    hub::{Caller, Connection, Hub, rooms::status::check_joined},
    model::{RoomName, UserId},
    policies::PresenceRule,
};

/// Users in the reply to `join`, and in one to `presence` without a limit.
const DEFAULT_LISTED_USERS: usize = 100;
/// The most users in a reply to `presence`.
const MAX_LISTED_USERS: usize = 1000;
/// Users that are read for one permit of the caller's rate.
pub(in crate::hub) const USERS_PER_PERMIT: usize = 100;

/// Who is in a room, in the reply to `join`.
#[derive(Clone, Debug, Serialize)]
pub struct Members {
    /// Users, each counted once.
    pub count: usize,
    /// The first of them; none in a room that is too full to announce single users.
    pub users: Vec<PresentUser>,
}

/// A page of the users of a room.
#[derive(Clone, Debug, Serialize)]
pub struct PresencePage {
    /// The room.
    pub room: RoomName,
    /// Users in the room, each counted once.
    pub count: usize,
    /// Some of them, in the order of their ids.
    pub users: Vec<PresentUser>,
    /// The user to continue after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<UserId>,
}

impl Hub {
    /// The users of a room: `limit` of them after `after`. A connection must be in the room.
    ///
    /// # Errors
    /// Fails with `forbidden` without the permission `presence`, `not_joined` for a connection that is not in the room, and `unavailable`
    /// if the members on other nodes cannot be read.
    pub async fn presence(
        &self,
        caller: &impl Caller,
        room: RoomName,
        limit: Option<usize>,
        after: Option<&UserId>,
    ) -> Result<PresencePage> {
        if !caller.may(Permission::Presence, &room) {
            return Err(Error::forbidden(format!(
                "this identity may not see who is in {room}"
            )));
        }
        if let Some(connection) = caller.connection() {
            check_joined(connection, &room)?;
        }
        self.permit_reading(caller, &room).await?;
        let rule = self.presence_rule(caller, &room);
        if rule == PresenceRule::Off {
            return Err(Error::forbidden(format!(
                "{room} does not show who is there"
            )));
        }
        let limit = limit.unwrap_or(DEFAULT_LISTED_USERS).min(MAX_LISTED_USERS);
        let key = caller.room_key(&room);
        let local = self.rooms().with(&key, |room| {
            let is_enough = room.is_roster_loaded() || caller.connection().is_some();
            is_enough.then(|| (room.shown_user_count(), room.user_page(after, limit)))
        });
        let (count, page) = match (local.flatten(), &self.backend().cluster) {
            (Some(local), _) => local,
            (None, Some(nodes)) => {
                let roster = nodes.room_users(&key, after, limit).await?;
                // The store has read all of them.
                self.rates()
                    .charge(caller, roster.count / USERS_PER_PERMIT, Instant::now());
                (roster.count, UserPage::from_roster(&roster))
            }
            (None, None) => (0, UserPage::default()),
        };
        let page = match rule {
            PresenceRule::Users => page,
            PresenceRule::Count | PresenceRule::Off => UserPage::default(),
        };
        self.rates()
            .charge(caller, page.users.len() / USERS_PER_PERMIT, Instant::now());
        Ok(PresencePage {
            room,
            count,
            users: page.users,
            next: page.next,
        })
    }

    /// Who is in a room, for the reply to a join; `None` if this identity may not know.
    pub(in crate::hub) fn members_for(
        &self,
        connection: &Connection,
        room: &RoomName,
    ) -> Option<Members> {
        let rule = self.presence_rule(connection, room);
        if rule == PresenceRule::Off || !connection.principal().may(Permission::Presence, room) {
            return None;
        }
        let members = self.rooms().with(&connection.room_key(room), |room| {
            let limit = match rule == PresenceRule::Count || room.is_crowded() {
                true => 0,
                false => DEFAULT_LISTED_USERS,
            };
            room.record_list(connection.id(), Instant::now());
            Members {
                count: room.shown_user_count(),
                users: room.user_page(None, limit).users,
            }
        });
        Some(members.unwrap_or(Members {
            count: 0,
            users: Vec::new(),
        }))
    }
}
