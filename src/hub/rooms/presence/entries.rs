//! The presence entries of one user in one room, and the rule that merges those of several nodes.
//!
//! Each node writes one entry for a user in a room, a [`PresenceEntry`], and no other node writes it. What members are shown is
//! merged from all entries by [`merge`], with the same result whatever order they arrived in:
//!
//! - Name, status and info are those of the entry with the latest `changed`, the time when the user set them. A node that
//!   receives a later time adopts these values into its own entry, with that time, and shows them in its other rooms; what was
//!   set on a connection that closes is therefore not lost. A status is given a time after the latest one known to the node, so
//!   that a slow clock does no harm. Where two nodes set a status in the same millisecond, or none was set at all, an entry
//!   with connections wins over one without, then the oldest, then the text decides.
//!   Nodes need not share a room for this: each node also announces the status in the user's personal room, and so does a node
//!   that a user connects to; a node that knows a later one replies with it.
//! - Idleness is observed, not set, and so is not adopted: a user is away if it is idle on all nodes that have connections
//!   of it.
//! - Connections add up, and the user is in the room since the earliest of all entries.

use std::{cmp::Reverse, time::Instant};

use serde_json::value::RawValue;

use crate::{
    backend::PresenceEntry,
    hub::rooms::user_status::UserStatus,
    model::{ConnectionId, NodeId, Timestamp},
};

/// The entries of all nodes that have the user in the room. Never empty.
#[derive(Debug, Default)]
pub(super) struct UserEntries {
    pub(super) local: Option<LocalEntry>,
    pub(super) remote: Vec<(NodeId, PresenceEntry)>,
}

/// This node's entry.
#[derive(Debug)]
pub(super) struct LocalEntry {
    pub(super) entry: PresenceEntry,
    stay: Stay,
}

/// Why a user is in the room.
#[derive(Debug)]
enum Stay {
    /// It has these connections here.
    Connected(Vec<ConnectionId>),
    /// It had, and the grace time ends then.
    Until(Instant),
}

impl UserEntries {
    /// What is shown of the user; `None` if it is not in the room.
    pub(super) fn status(&self) -> Option<UserStatus> {
        self.merged().map(|entry| UserStatus::from(&entry))
    }

    pub(super) fn merged(&self) -> Option<PresenceEntry> {
        let local = self.local.iter().map(|local| &local.entry);
        merge(local.chain(self.remote.iter().map(|(_, entry)| entry)))
    }

    /// Creates this node's entry for a first connection. A user with connections on other nodes keeps the status shown there, as with a second
    /// connection here; one in its grace time there shows the status it comes with, unless the one set there is later.
    pub(super) fn create_local(
        &mut self,
        connection: ConnectionId,
        status: UserStatus,
        ts: Timestamp,
    ) {
        let mut entry = status.into_entry(ts);
        if let Some(remote) = self.merged() {
            entry.since = entry.since.min(remote.since);
            let connected = remote.connections > 0;
            if remote.changed > entry.changed || remote.changed == entry.changed && connected {
                adopt_status(&mut entry, &remote);
            }
        }
        self.local = Some(LocalEntry {
            entry,
            stay: Stay::Connected(vec![connection]),
        });
    }
}

impl LocalEntry {
    /// The user's connections here.
    pub(super) fn connections(&self) -> &[ConnectionId] {
        match &self.stay {
            Stay::Connected(connections) => connections,
            Stay::Until(_) => &[],
        }
    }

    /// When the grace time ends, if it has begun.
    pub(super) fn expires(&self) -> Option<Instant> {
        match self.stay {
            Stay::Connected(_) => None,
            Stay::Until(expires) => Some(expires),
        }
    }

    /// Adds a connection. Returns when the grace time would have ended that ends now.
    pub(super) fn connect(
        &mut self,
        connection: ConnectionId,
        status: UserStatus,
    ) -> Option<Instant> {
        let expires = self.expires();
        match &mut self.stay {
            Stay::Connected(connections) => connections.push(connection),
            Stay::Until(_) => {
                self.stay = Stay::Connected(vec![connection]);
                self.reconnect(status);
            }
        }
        self.entry.connections = self.connections().len();
        expires
    }

    /// Removes a connection. Returns `deadline` if the grace time begins, which ends then.
    pub(super) fn disconnect(
        &mut self,
        connection: ConnectionId,
        deadline: Instant,
    ) -> Option<Instant> {
        if let Stay::Connected(connections) = &mut self.stay {
            connections.retain(|other| *other != connection);
            self.entry.connections = connections.len();
            if connections.is_empty() {
                self.stay = Stay::Until(deadline);
                return Some(deadline);
            }
        }
        None
    }

    /// Takes the status of a user that reconnects within its grace time, unless a later one is known.
    fn reconnect(&mut self, status: UserStatus) {
        if status.changed >= self.entry.changed {
            self.entry = status.into_entry(self.entry.since);
        }
    }
}

/// Copies what the user set from another entry.
pub(super) fn adopt_status(entry: &mut PresenceEntry, other: &PresenceEntry) {
    entry.name = other.name.clone();
    entry.status = other.status.clone();
    entry.info = other.info.clone();
    entry.changed = other.changed;
    entry.idle = false;
}

/// Merges all entries of one user; `None` if there is none.
pub(super) fn merge<'a>(
    entries: impl Iterator<Item = &'a PresenceEntry> + Clone,
) -> Option<PresenceEntry> {
    let latest = entries.clone().max_by_key(|entry| rank(entry))?;
    let connected = entries.clone().any(|entry| entry.connections > 0);
    let mut merged = latest.clone();
    let connections = entries.clone().map(|entry| entry.connections);
    // Numbers of other nodes are not trusted to be small.
    merged.connections = connections.fold(0, usize::saturating_add);
    merged.idle = entries
        .clone()
        .filter(|entry| entry.connections > 0 || !connected)
        .all(|entry| entry.idle);
    merged.since = entries.map(|entry| entry.since).min()?;
    Some(merged)
}

/// The order of precedence: the status of the greatest entry is shown.
fn rank(entry: &PresenceEntry) -> impl Ord {
    let info = entry.info.as_deref().map(RawValue::get);
    (
        (entry.changed, entry.connections > 0, Reverse(entry.since)),
        (entry.name.as_deref(), &*entry.status, info),
    )
}
