//! A page of the users of a room.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::entries::merge;
use crate::{
    backend::{PresenceEntry, RosterPage},
    hub::rooms::user_status::UserStatus,
    model::{Timestamp, UserId},
};

/// Some of the users of a room.
#[derive(Clone, Debug, Default)]
pub struct UserPage {
    /// In the order of their ids.
    pub users: Vec<PresentUser>,
    /// The user to continue after; `None` at the end.
    pub next: Option<UserId>,
}

/// A user in a page.
#[derive(Clone, Debug, Serialize)]
pub struct PresentUser {
    /// Its id.
    pub user: UserId,
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// `online`, `away` or any other word.
    pub status: Arc<str>,
    /// A JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Arc<RawValue>>,
    /// Connections it has in the room; 0 during the grace time.
    pub connections: usize,
    /// When it entered with its first connection.
    pub since: Timestamp,
}

impl UserPage {
    /// A page from what the store knows of all nodes.
    pub fn from_roster(roster: &RosterPage) -> Self {
        let users = merge_by_user(&roster.users);
        let next = users.last().filter(|_| roster.more);
        Self {
            next: next.map(|last| last.user.clone()),
            users,
        }
    }
}

impl PresentUser {
    pub(super) fn new(user: &UserId, entry: &PresenceEntry) -> Self {
        let status = UserStatus::from(entry);
        Self {
            user: user.clone(),
            status: status.displayed(),
            name: status.name,
            info: status.info,
            connections: entry.connections,
            since: entry.since,
        }
    }
}

/// The users of a list in which the entries of each user stand next to each other.
fn merge_by_user(entries: &[(UserId, PresenceEntry)]) -> Vec<PresentUser> {
    entries
        .chunk_by(|one, next| one.0 == next.0)
        .filter_map(|entries| {
            let merged = merge(entries.iter().map(|(_, entry)| entry))?;
            Some(PresentUser::new(&entries.first()?.0, &merged))
        })
        .collect()
}
