//! What is shown of a user, and what becomes of it where several nodes have connections of it.
//!
//! Each node writes one entry for a user in a room, an [`PresenceEntry`], and nobody else writes that. What the room is shown is made
//! of all entries by one rule, [`merged`], that gives the same whatever order they came in:
//!
//! - Name, status and info are those of the entry that was changed last: `changed` is the time when the user said so. A node
//!   that hears of a later time takes these over into its own entry, with that time, and into what its other rooms show; what
//!   was said on a connection that goes is therefore not lost. Whoever says something gives it a time after the latest that it
//!   knows, so that a clock that is slow does no harm. Where two nodes say something in the same millisecond, or nothing was said
//!   at all, an entry with connections counts before one without, then the one that is there longest, then the text.
//!   Rooms that two nodes share are not the only way: each also says so in the user's personal room, and so does a node to which
//!   the user comes; whoever knows of something later answers with that.
//! - Idleness is not said but noticed, and so is not taken over: a user is away if it is idle on all nodes that have
//!   connections of it.
//! - Connections add up, and it is here since the earliest of all entries.

use std::{cmp::Reverse, sync::Arc};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    backend::PresenceEntry,
    model::{Timestamp, UserId},
};

/// The status of whoever says nothing else.
pub(in crate::hub) const ONLINE: &str = "online";
/// The status of whoever has done nothing for a while.
pub(in crate::hub) const AWAY: &str = "away";

/// What a room is shown of a user.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The name to show.
    pub name: Option<Arc<str>>,
    /// `online`, `away` or any other word.
    pub status: Arc<str>,
    /// A JSON object.
    pub info: Option<Arc<RawValue>>,
}

/// How a user is, as one node knows it.
#[derive(Clone, Debug)]
pub struct Stance {
    /// What it says.
    pub profile: Profile,
    /// It has done nothing for a while.
    pub idle: bool,
    /// When it said so; 0: never.
    pub changed: Timestamp,
}

/// A user as a page shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Present {
    /// Who.
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
    /// When it came with its first connection.
    pub since: Timestamp,
}

/// What all entries of one user come to; `None` if there is none.
pub(in crate::hub) fn merged<'a>(
    entries: impl Iterator<Item = &'a PresenceEntry> + Clone,
) -> Option<PresenceEntry> {
    let latest = entries.clone().max_by_key(|entry| rank(entry))?;
    let connected = entries.clone().any(|entry| entry.connections > 0);
    let mut merged = latest.clone();
    let connections = entries.clone().map(|entry| entry.connections);
    // Other nodes may say anything.
    merged.connections = connections.fold(0, usize::saturating_add);
    merged.idle = entries
        .clone()
        .filter(|entry| entry.connections > 0 || !connected)
        .all(|entry| entry.idle);
    merged.since = entries.map(|entry| entry.since).min()?;
    Some(merged)
}

/// The users of a list in which all entries of one user stand together.
pub(in crate::hub) fn each_once(entries: &[(UserId, PresenceEntry)]) -> Vec<Present> {
    entries
        .chunk_by(|one, next| one.0 == next.0)
        .filter_map(|of_one| {
            let merged = merged(of_one.iter().map(|(_, attending)| attending))?;
            Some(Present::of(&of_one.first()?.0, &merged))
        })
        .collect()
}

/// What an entry counts: that of the greatest is shown.
fn rank(entry: &PresenceEntry) -> impl Ord {
    let info = entry.info.as_deref().map(RawValue::get);
    (
        (entry.changed, entry.connections > 0, Reverse(entry.since)),
        (entry.name.as_deref(), &*entry.status, info),
    )
}

/// What a user says of itself over all rooms.
#[derive(Clone, Debug)]
pub(in crate::hub) struct Word {
    pub(in crate::hub) status: Arc<str>,
    pub(in crate::hub) info: Option<Arc<RawValue>>,
    /// When it said so; 0: never.
    pub(in crate::hub) changed: Timestamp,
}

impl From<&PresenceEntry> for Word {
    fn from(entry: &PresenceEntry) -> Self {
        Self {
            status: entry.status.clone(),
            info: entry.info.clone(),
            changed: entry.changed,
        }
    }
}

/// Has an entry say what another one says.
pub(in crate::hub) fn take_over(own: &mut PresenceEntry, other: &PresenceEntry) {
    own.name = other.name.clone();
    own.status = other.status.clone();
    own.info = other.info.clone();
    own.changed = other.changed;
    own.idle = false;
}

impl Stance {
    /// What others are shown.
    pub(in crate::hub) fn shown(self) -> Profile {
        shown(self.profile, self.idle)
    }

    /// The entry of a user who comes with its first connection.
    pub(in crate::hub) fn begin(self, since: Timestamp) -> PresenceEntry {
        let Profile { name, status, info } = self.profile;
        PresenceEntry {
            name,
            status,
            info,
            connections: 1,
            since,
            idle: self.idle,
            changed: self.changed,
        }
    }
}

impl Profile {
    /// What an entry shows.
    pub(in crate::hub) fn of(entry: &PresenceEntry) -> Self {
        let profile = Self {
            name: entry.name.clone(),
            status: entry.status.clone(),
            info: entry.info.clone(),
        };
        shown(profile, entry.idle)
    }
}

/// Somebody who does nothing is away; whoever said how it is, other than online, is taken by its word.
fn shown(mut profile: Profile, idle: bool) -> Profile {
    if idle && &*profile.status == ONLINE {
        profile.status = AWAY.into();
    }
    profile
}

impl Present {
    pub(in crate::hub) fn of(user: &UserId, entry: &PresenceEntry) -> Self {
        let Profile { name, status, info } = Profile::of(entry);
        Self {
            user: user.clone(),
            name,
            status,
            info,
            connections: entry.connections,
            since: entry.since,
        }
    }
}

impl PartialEq for Profile {
    /// Members get the text of `info`, so it is the text that counts.
    fn eq(&self, other: &Self) -> bool {
        fn text(profile: &Profile) -> Option<&str> {
            profile.info.as_deref().map(RawValue::get)
        }
        self.name == other.name && self.status == other.status && text(self) == text(other)
    }
}
