//! The `status` command and what users show over all their rooms.

use std::{sync::Arc, time::Instant};

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    error::{Code, Error, Result},
    hub::{Connection, Hub},
    model::{ConnectionId, RoomKey, RoomName, Timestamp, UserId},
};

/// Rooms that are told of a status change for one permit of the user's rate.
const ROOMS_PER_PERMIT: usize = 100;
/// The longest status.
const MAX_STATUS_CHARS: usize = 32;

/// A user across rooms.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserSummary {
    /// Its id.
    pub user: UserId,
    /// Whether it has a connection.
    pub online: bool,
    /// How many connections it has.
    pub connections: usize,
    /// The rooms that they are in.
    pub rooms: Vec<RoomName>,
    /// The status that is shown; `None` if it is offline.
    pub status: Option<Arc<str>>,
    /// When it disconnected, if it is offline and that is remembered; now, if it is online.
    pub last_seen: Option<Timestamp>,
}

impl Hub {
    /// Sets a user's status. Lists show it from now on. Members of its rooms are told, at most once a second in the long run: of
    /// several changes the newest.
    ///
    /// # Errors
    /// Fails with `bad_request` if the status has not 1 to 32 characters or contains control characters, or if `info` is not a JSON object of
    /// at most 1 KiB.
    pub fn status(
        &self,
        connection: &Connection,
        status: &str,
        info: Option<Box<RawValue>>,
    ) -> Result<Arc<str>> {
        let status = parse_status(status)?;
        let info = info.map(crate::auth::parse_info).transpose()?;
        connection.local_user().set_status(status.clone(), info);
        self.send_status_to_nodes(connection.namespace(), &connection.principal().user);
        self.announce_status(connection, Some(connection.id()));
        Ok(status)
    }

    /// What this node knows of a user, over all namespaces.
    pub(in crate::hub) fn local_user_summary(&self, user: &UserId) -> UserSummary {
        let connections = self.connection_table().of_user(user);
        let last_seen = self.connection_table().last_seen(user);
        let rooms: IndexSet<_> = connections
            .iter()
            .flat_map(|connection| connection.rooms())
            .collect();
        let status = connections
            .first()
            .map(|connection| connection.user_status().displayed());
        UserSummary {
            user: user.clone(),
            online: !connections.is_empty(),
            connections: connections.len(),
            rooms: rooms.into_iter().collect(),
            last_seen: match status {
                Some(_) => Some(Timestamp::now()),
                // The clock may have been ahead when the user disconnected.
                None => last_seen.map(|last_seen| last_seen.min(Timestamp::now())),
            },
            status,
        }
    }

    /// Records activity of a connection: a user shown as away for inactivity is back.
    pub(crate) fn record_activity(&self, connection: &Connection) {
        if self.away_after().is_some() && connection.local_user().mark_active(Instant::now()) {
            self.announce_status(connection, None);
        }
    }

    /// Shows users as away that have been inactive for the configured time; runs until dropped.
    pub(in crate::hub) async fn mark_idle_users(&self) {
        let Some(after) = self.away_after() else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(after / 4).await;
            let now = Instant::now();
            for connection in self.connections() {
                // Connections of one user share its state, so this is true for the first of them only.
                if connection.local_user().mark_idle(after, now) {
                    self.announce_status(&connection, None);
                }
            }
        }
    }

    /// Shows a member's user to the others in the room. A personal room has no others.
    pub(in crate::hub) fn announce_presence(&self, connection: &Connection, key: &RoomKey) {
        if key.room.is_personal() {
            return;
        }
        let newer = self.rooms().with(key, |room| {
            // Read while the room is locked: a change at the same time is in it, or comes to the room after it.
            let (user, status) = (
                connection.principal().user.clone(),
                connection.user_status(),
            );
            let (now, ts) = (Instant::now(), Timestamp::now());
            room.show_user(connection.id(), user, status, now, ts)
        });
        if let Some(status) = newer.flatten()
            && connection.local_user().apply_remote_status(status)
        {
            self.announce_status(connection, None);
        }
    }

    /// Tells the members of all rooms that a user is in what it shows now, except the connection `except`. Being in many rooms is
    /// charged to the user's rate.
    pub(in crate::hub) fn announce_status(&self, one: &Connection, except: Option<ConnectionId>) {
        let (user, now) = (one.principal().user.clone(), Instant::now());
        let connections = self.connection_table().of_user(&user);
        let rooms = connections.iter().map(|one| (one, one.rooms()));
        let keys: IndexSet<RoomKey> = rooms
            .flat_map(|(one, rooms)| rooms.into_iter().map(|room| one.room_key(&room)))
            .collect();
        self.rates().charge(one, keys.len() / ROOMS_PER_PERMIT, now);
        let not_before = one.local_user().next_notice_at(now);
        for key in keys {
            self.rooms().with(&key, |room| {
                // Read while the room is locked: of changes at the same time, the one that comes here last shows the
                // result of all of them.
                room.update_status(
                    &user,
                    one.user_status(),
                    except,
                    (now, not_before),
                    Timestamp::now(),
                );
            });
        }
    }
}

/// Fails with `not_joined` if the connection is not in the room.
pub(in crate::hub) fn check_joined(connection: &Connection, room: &RoomName) -> Result<()> {
    if connection.is_in(room) {
        return Ok(());
    }
    let message = format!("this connection is not in {room}; join it first");
    Err(Error::new(Code::NotJoined, message))
}

fn parse_status(text: &str) -> Result<Arc<str>> {
    let characters = text.chars().count();
    if !(1..=MAX_STATUS_CHARS).contains(&characters) || text.chars().any(char::is_control) {
        return Err(Error::bad_request(
            "a status is online, away, busy or any word of 1 to 32 characters",
        ));
    }
    Ok(text.into())
}
