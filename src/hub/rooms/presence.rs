//! Who is in one room: each user once, however many connections it has there, and on however many nodes.
//!
//! Pure state: it is given the time, never awaits, and knows neither how changes are sent nor other rooms. A user whose last
//! connection closes stays for a grace time, so that a reload or a short network failure is not shown as a leave.
//!
//! **Other nodes.** Each node writes an entry for each of its users and receives those of the others. A user is in the room while
//! any node has an entry of it. The node that had its last connection keeps its entry for the grace time; a user that reconnects
//! to another node has an entry there by then, so no leave is announced. [`entries`] merges the entries of one user. Every node
//! finds joins, updates and leaves by comparing the merged entry before and after a change, so each announces the changes of one
//! user alternately to its own members, whatever order the nodes learn of them in.
//!
//! **The limit.** In a room of more than `max_announced` users no changes are announced: a hundred thousand changes to a hundred
//! thousand members would be of no use to anybody. All users are counted all the same, and [`Presence::page`] lists all of
//! them. A list that a client kept from before is out of date when the room is small enough again; the `count` of the next
//! change shows that.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
    time::{Duration, Instant},
};

use self::entries::{LocalEntry, UserEntries, adopt_status};
pub use self::{
    change::{ChangeKind, PresenceChange},
    page::{PresentUser, UserPage},
};
use super::user_status::UserStatus;
use crate::{
    backend::PresenceEntry,
    model::{ConnectionId, NodeId, Timestamp, UserId},
};

mod change;
mod entries;
mod page;

/// The users of one room.
///
/// A user is *in the room* from its first connection until the grace time after the last one is over and
/// [`expire`](Self::expire) was called.
#[derive(Debug)]
pub struct Presence {
    grace: Duration,
    max_announced: usize,
    /// Boxed: a node of the map has space for eleven, and most rooms have fewer users.
    users: BTreeMap<UserId, Box<UserEntries>>,
    /// Users without a connection on this node, by the time when their entry here expires.
    expiring: BTreeSet<(Instant, UserId)>,
    /// Users with an entry of this node.
    local_users: usize,
    /// Connections on other nodes.
    remote_connections: usize,
    /// Users whose entry of this node has changed since [`take_unpublished`](Self::take_unpublished).
    unpublished: BTreeSet<UserId>,
}

impl Presence {
    /// An empty room where users stay for `grace` after their last connection, and where changes are announced while there are
    /// at most `max_announced` users; 0 is no limit.
    pub fn new(grace: Duration, max_announced: usize) -> Self {
        Self {
            grace,
            max_announced: if max_announced == 0 {
                usize::MAX
            } else {
                max_announced
            },
            users: BTreeMap::new(),
            expiring: BTreeSet::new(),
            local_users: 0,
            remote_connections: 0,
            unpublished: BTreeSet::new(),
        }
    }

    /// Adds a connection at `ts`; adding it again changes nothing.
    ///
    /// Returns a `join` for a user that was not in the room. For one in its grace time, which ends now, an `update` if something
    /// else is shown than before; with other connections, on any node, the status stays as it is.
    pub fn enter(
        &mut self,
        connection: ConnectionId,
        user: UserId,
        status: UserStatus,
        ts: Timestamp,
    ) -> Option<PresenceChange> {
        if self.has_connection(&user, connection) {
            return None;
        }
        let (mut expires, mut is_new) = (None, false);
        let change = self.update_entries(&user, |entries| match &mut entries.local {
            Some(local) => expires = local.connect(connection, status),
            None => {
                is_new = true;
                entries.create_local(connection, status, ts);
            }
        });
        self.local_users += usize::from(is_new);
        if let Some(deadline) = expires {
            self.expiring.remove(&(deadline, user.clone()));
        }
        self.unpublished.insert(user);
        change
    }

    /// Removes a connection of a user. If it was the last one here, this node's entry stays for the grace time. Returns an
    /// `update` if the user is idle on all other nodes.
    pub fn leave(
        &mut self,
        connection: ConnectionId,
        user: &UserId,
        now: Instant,
    ) -> Option<PresenceChange> {
        if !self.has_connection(user, connection) {
            return None;
        }
        let (deadline, mut expires) = (now + self.grace, None);
        let change = self.update_entries(user, |entries| {
            let local = entries.local.as_mut();
            expires = local.and_then(|local| local.disconnect(connection, deadline));
        });
        self.unpublished.insert(user.clone());
        if let Some(deadline) = expires {
            self.expiring.insert((deadline, user.clone()));
        }
        change
    }

    /// Whether a user has entered by this connection.
    fn has_connection(&self, user: &UserId, connection: ConnectionId) -> bool {
        let entries = self.users.get(user);
        let local = entries.and_then(|entries| entries.local.as_ref());
        local.is_some_and(|local| local.connections().contains(&connection))
    }

    /// Sets the status of a user. It counts if it was set later than the one before; a name or `info` of `None` then keeps that
    /// of before. Returns an `update` if something else is shown.
    pub fn update(&mut self, user: &UserId, status: UserStatus) -> Option<PresenceChange> {
        let local = self.local_entry(user)?;
        if local.changed >= status.changed && local.idle == status.idle {
            return None;
        }
        self.unpublished.insert(user.clone());
        self.update_entries(user, |entries| {
            let Some(LocalEntry { entry, .. }) = &mut entries.local else {
                return;
            };
            entry.idle = status.idle;
            if status.changed > entry.changed {
                entry.name = status.name.or(entry.name.take());
                entry.status = status.status;
                entry.info = status.info.or(entry.info.take());
                entry.changed = status.changed;
            }
        })
    }

    /// Ends the grace times that are over by `now`, in their order: returns a `leave` for each user without an entry of another
    /// node.
    pub fn expire(&mut self, now: Instant) -> Vec<PresenceChange> {
        let mut changes = Vec::new();
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            let Some((_, user)) = self.expiring.pop_first() else {
                break;
            };
            changes.extend(self.remove_local(&user));
        }
        changes
    }

    /// Ends a user's grace time now: returns a `leave` unless another node has an entry. A user with a connection here stays.
    pub fn end_grace(&mut self, user: &UserId) -> Option<PresenceChange> {
        let expires = self.users.get(user)?.local.as_ref()?.expires()?;
        self.expiring.remove(&(expires, user.clone()));
        self.remove_local(user)
    }

    /// Sets the entry that another node has of a user; `None`: it has none any more.
    pub fn set_remote(
        &mut self,
        node: NodeId,
        user: &UserId,
        entry: Option<PresenceEntry>,
    ) -> Option<PresenceChange> {
        let (mut before, mut adopted) = (0, false);
        let after = entry.as_ref().map_or(0, |entry| entry.connections);
        let change = self.update_entries(user, |entries| {
            if let Some(at) = entries.remote.iter().position(|(of, _)| *of == node) {
                before = entries.remote.swap_remove(at).1.connections;
            }
            let Some(entry) = entry else { return };
            if let Some(local) = &mut entries.local
                && entry.changed > local.entry.changed
            {
                adopt_status(&mut local.entry, &entry);
                adopted = true;
            }
            entries.remote.push((node, entry));
        });
        let others = self.remote_connections.saturating_sub(before);
        self.remote_connections = others.saturating_add(after);
        if adopted {
            self.unpublished.insert(user.clone());
        }
        change
    }

    /// Removes all entries of another node.
    pub fn remove_node(&mut self, node: NodeId) -> Vec<PresenceChange> {
        self.remove_remote(|of, _| of == node)
    }

    /// Replaces the entries of all other nodes.
    pub fn replace_remote(
        &mut self,
        entries: Vec<(NodeId, UserId, PresenceEntry)>,
    ) -> Vec<PresenceChange> {
        let listed: HashSet<(NodeId, UserId)> = entries
            .iter()
            .map(|(node, user, _)| (*node, user.clone()))
            .collect();
        // New entries first: a user that moved from one node to another has not left.
        let mut changes: Vec<_> = entries
            .into_iter()
            .filter_map(|(node, user, entry)| self.set_remote(node, &user, Some(entry)))
            .collect();
        changes.extend(self.remove_remote(|node, user| !listed.contains(&(node, user.clone()))));
        changes
    }

    /// Takes the users whose entry of this node has changed since the last call, with that entry; `None`: removed. Users that
    /// are not to be published yet are kept for a later call.
    pub fn take_unpublished(
        &mut self,
        may_publish: impl Fn(&UserId) -> bool,
    ) -> Vec<(UserId, Option<PresenceEntry>)> {
        let users = std::mem::take(&mut self.unpublished).into_iter();
        let (published, unpublished): (BTreeSet<_>, _) = users.partition(may_publish);
        self.unpublished = unpublished;
        let published = published.into_iter().map(|user| {
            let entry = self.local_entry(&user).cloned();
            (user, entry)
        });
        published.collect()
    }

    /// This node's entry of a user.
    pub fn local_entry(&self, user: &UserId) -> Option<&PresenceEntry> {
        let local = self.users.get(user)?.local.as_ref()?;
        Some(&local.entry)
    }

    /// What is shown of a user; `None` if it is not in the room.
    pub fn status(&self, user: &UserId) -> Option<UserStatus> {
        self.users.get(user)?.status()
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.expiring.first().map(|(deadline, _)| *deadline)
    }

    /// Whether a user is in the room.
    pub fn contains(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// Users in the room, each counted once, those in their grace time included.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// Users with an entry of this node: those with connections here, and those in their grace time after one here.
    pub fn local_user_count(&self) -> usize {
        self.local_users
    }

    /// Connections on other nodes.
    pub fn remote_connection_count(&self) -> usize {
        self.remote_connections
    }

    /// Connections of this node in the room.
    #[cfg(test)]
    pub fn connection_count(&self) -> usize {
        let local = self.users.values().filter_map(|user| user.local.as_ref());
        local.map(|local| local.connections().len()).sum()
    }

    /// Whether there are so many users that no changes are announced.
    pub fn is_crowded(&self) -> bool {
        self.user_count() > self.max_announced
    }

    /// The first `limit` users after `after`, who need not be in the room any more.
    pub fn page(&self, after: Option<&UserId>, limit: usize) -> UserPage {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.users.range::<UserId, _>((from, Bound::Unbounded));
        let users: Vec<_> = rest
            .by_ref()
            .take(limit)
            .filter_map(|(user, entries)| Some(PresentUser::new(user, &entries.merged()?)))
            .collect();
        let next = users.last().map(|last| last.user.clone());
        UserPage {
            users,
            next: next.filter(|_| rest.next().is_some()),
        }
    }

    /// Removes those entries of other nodes for which `matches` returns true.
    fn remove_remote(&mut self, matches: impl Fn(NodeId, &UserId) -> bool) -> Vec<PresenceChange> {
        let mut removed = Vec::new();
        for (user, entries) in &self.users {
            let nodes = entries.remote.iter().map(|(node, _)| *node);
            let matching = nodes.filter(|node| matches(*node, user));
            removed.extend(matching.map(|node| (node, user.clone())));
        }
        let removed = removed.into_iter();
        removed
            .filter_map(|(node, user)| self.set_remote(node, &user, None))
            .collect()
    }

    /// Removes this node's entry.
    fn remove_local(&mut self, user: &UserId) -> Option<PresenceChange> {
        self.local_users -= 1;
        self.unpublished.insert(user.clone());
        self.update_entries(user, |entries| entries.local = None)
    }

    /// Updates the entries of a user, who need not be in the room, and finds what that changes for the members.
    fn update_entries(
        &mut self,
        user: &UserId,
        update: impl FnOnce(&mut UserEntries),
    ) -> Option<PresenceChange> {
        let entries = self.users.entry(user.clone()).or_default();
        let before = entries.status();
        update(entries);
        let after = entries.status();
        if after.is_none() {
            self.users.remove(user);
        }
        let (kind, status) = match (before, after) {
            (None, Some(status)) => (ChangeKind::Join, status),
            (Some(status), None) => (ChangeKind::Leave, status),
            (Some(before), Some(after)) if !before.displays_as(&after) => {
                (ChangeKind::Update, after)
            }
            _ => return None,
        };
        self.announced(kind, user.clone(), status)
    }

    /// A change that has been made, unless the room was or is too full to announce it.
    fn announced(
        &self,
        kind: ChangeKind,
        user: UserId,
        status: UserStatus,
    ) -> Option<PresenceChange> {
        let count = self.user_count();
        let most_users = count + usize::from(kind == ChangeKind::Leave);
        (most_users <= self.max_announced).then_some(PresenceChange {
            kind,
            user,
            status,
            count,
        })
    }
}

#[cfg(test)]
mod tests;
