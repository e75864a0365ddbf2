//! `presence` and `status`: who is in a room, and how a user says it is.

use std::{sync::Arc, time::Instant};

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    presence::{Arrival, Page},
    user_status::Present,
};
use crate::{
    auth::Permission,
    error::{Code, Error, Result},
    hub::{Caller, Connection, Hub},
    model::{ConnectionId, RoomKey, RoomName, Timestamp, UserId},
};

/// Users that the answer to `join` lists.
pub(in crate::hub) const LISTED_USERS: usize = 100;
/// Users that one answer to `presence` lists, at most.
const PAGE_USERS: usize = 1000;
/// Users that are looked at for one permit of whoever asks for them.
pub(in crate::hub) const USERS_A_PERMIT: usize = 100;
/// Rooms that a change of a user is shown in for one permit of its rate.
const ROOMS_A_PERMIT: usize = 100;

/// Who is in a room, as the answer to `join` says it.
#[derive(Clone, Debug, Serialize)]
pub struct Members {
    /// Users, each counted once.
    pub count: usize,
    /// The first of them; none in a room that is too full to tell of single users.
    pub users: Vec<Present>,
}

/// A part of the users of a room.
#[derive(Clone, Debug, Serialize)]
pub struct PresencePage {
    /// The room.
    pub room: RoomName,
    /// Users in the room, each counted once.
    pub count: usize,
    /// Some of them, in the order of their ids.
    pub users: Vec<Present>,
    /// Ask for those after this one to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<UserId>,
}

/// A user across rooms.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserState {
    /// Who.
    pub user: UserId,
    /// Whether it has a connection.
    pub online: bool,
    /// How many.
    pub connections: usize,
    /// The rooms they are in.
    pub rooms: Vec<RoomName>,
    /// What it shows.
    pub status: Option<Arc<str>>,
    /// When it went, if it is not online and that is remembered; now, if it is.
    pub last_seen: Option<Timestamp>,
}

impl Hub {
    /// The users of a room: `limit` of them behind `after`. A connection must be in the room.
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
        let limit = limit.unwrap_or(LISTED_USERS).min(PAGE_USERS);
        let key = caller.key(&room);
        let found = self.0.rooms.with(&key, |room| {
            let enough = room.knows_all() || caller.connection().is_some();
            enough.then(|| (room.count(), room.page(after, limit)))
        });
        let (count, page) = match (found.flatten(), &self.0.backend.cluster) {
            (Some(found), _) => found,
            (None, Some(nodes)) => {
                let census = nodes.room_users(&key, after, limit).await?;
                // All of them were read.
                self.charge(caller, census.count / USERS_A_PERMIT, Instant::now());
                (census.count, Page::of(&census))
            }
            (None, None) => (0, Page::default()),
        };
        self.charge(caller, page.users.len() / USERS_A_PERMIT, Instant::now());
        Ok(PresencePage {
            room,
            count,
            users: page.users,
            next: page.next,
        })
    }

    /// A user says how it is. Lists show that from now on; everybody who shares a room with it is told, once a second if it says so
    /// all the time: then of what it said only the newest.
    pub fn status(
        &self,
        connection: &Connection,
        status: &str,
        info: Option<Box<RawValue>>,
    ) -> Result<Arc<str>> {
        let status = parse_status(status)?;
        let info = info.map(crate::auth::parse_info).transpose()?;
        connection.standing().say(status.clone(), info);
        self.tell_status(connection.namespace(), &connection.principal().user);
        // It knows what it said itself.
        self.show(connection, Some(connection.id()));
        Ok(status)
    }

    /// What this node knows of a user, over all namespaces.
    pub(in crate::hub) fn user_here(&self, user: &UserId) -> UserState {
        let connections = self.connections_of(user);
        let gone = self.0.last_seen.of(user).map(|gone| gone.ts);
        let rooms: IndexSet<_> = connections
            .iter()
            .flat_map(|connection| connection.rooms())
            .collect();
        let status = connections
            .first()
            .map(|connection| connection.stance().shown().status);
        UserState {
            user: user.clone(),
            online: !connections.is_empty(),
            connections: connections.len(),
            rooms: rooms.into_iter().collect(),
            last_seen: match status {
                Some(_) => Some(Timestamp::now()),
                // The clock may have been ahead when they left.
                None => gone.map(|gone| gone.min(Timestamp::now())),
            },
            status,
        }
    }

    /// A connection has done something: whoever was away for doing nothing is back.
    pub fn acted(&self, connection: &Connection) {
        if self.0.presence.away_after.is_some() && connection.standing().acted(Instant::now()) {
            self.show(connection, None);
        }
    }

    /// Shows users as away that have done nothing for the configured time; for as long as it is polled.
    pub(in crate::hub) async fn watch_idle(&self) {
        let Some(after) = self.0.presence.away_after else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(after / 4).await;
            let now = Instant::now();
            for connection in self.connections() {
                // Connections of one user share their standing, so only the first of them finds it new.
                if connection.standing().idles(after, now) {
                    self.show(&connection, None);
                }
            }
        }
    }

    /// Who is in a room, for the answer to a join; `None` if this identity may not know.
    pub(in crate::hub) fn members_for(
        &self,
        connection: &Connection,
        room: &RoomName,
    ) -> Option<Members> {
        if !connection.principal().may(Permission::Presence, room) {
            return None;
        }
        let found = self.0.rooms.with(&connection.key(room), |room| {
            let listed = if room.is_crowded() { 0 } else { LISTED_USERS };
            room.lists_for(connection.id(), Instant::now());
            Members {
                count: room.count(),
                users: room.page(None, listed).users,
            }
        });
        Some(found.unwrap_or(Members {
            count: 0,
            users: Vec::new(),
        }))
    }

    /// Makes a member known to the others of its room. A personal room has no others.
    pub(in crate::hub) fn appear(&self, connection: &Connection, key: &RoomKey) {
        if key.room.is_personal() {
            return;
        }
        let later = self.0.rooms.with(key, |room| {
            // Read while the room is locked: a change at the same time is in it, or comes to the room after it.
            let who = Arrival {
                user: connection.principal().user.clone(),
                stance: connection.stance(),
            };
            room.appear(connection.id(), who, Instant::now(), Timestamp::now())
        });
        if let Some(said) = later.flatten()
            && connection.standing().hear(said)
        {
            self.show(connection, None);
        }
    }

    /// Shows what a user is like now in every room that it is in, to everybody but `except`. Whoever is in many rooms pays for it
    /// by its rate.
    pub(in crate::hub) fn show(&self, one: &Connection, except: Option<ConnectionId>) {
        let (user, now) = (one.principal().user.clone(), Instant::now());
        let connections = self.connections_of(&user);
        let rooms = connections.iter().map(|one| (one, one.rooms()));
        let keys: IndexSet<RoomKey> = rooms
            .flat_map(|(one, rooms)| rooms.into_iter().map(|room| one.key(&room)))
            .collect();
        self.charge(one, keys.len() / ROOMS_A_PERMIT, now);
        let told_at = one.standing().told_at(now);
        for key in keys {
            self.0.rooms.with(&key, |room| {
                // Read while the room is locked: of changes at the same time, the one that comes here last shows what
                // all of them made of it.
                room.update(
                    &user,
                    one.stance(),
                    except,
                    (now, told_at),
                    Timestamp::now(),
                );
            });
        }
    }
}

/// Refuses what only members may do.
pub(in crate::hub) fn check_joined(connection: &Connection, room: &RoomName) -> Result<()> {
    if connection.is_in(room) {
        return Ok(());
    }
    let message = format!("this connection is not in {room}; join it first");
    Err(Error::new(Code::NotJoined, message))
}

fn parse_status(text: &str) -> Result<Arc<str>> {
    let characters = text.chars().count();
    if characters == 0 || characters > 32 || text.chars().any(char::is_control) {
        return Err(Error::bad_request(
            "a status is online, away, busy or any word of 1 to 32 characters",
        ));
    }
    Ok(text.into())
}
