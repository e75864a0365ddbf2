//! Who is in one room: each user once, however many connections it has there, and on however many nodes.
//!
//! Pure state: it is given the time, never awaits, and knows neither how changes are sent nor of other rooms. A user
//! whose last connection goes stays for a grace time, so that a reload or a short loss of the network is no news.
//!
//! **Other nodes.** Each node writes an entry for each of its users and hears of those of the others. A user is here while any node
//! has an entry of it. The node that had its last connection keeps its entry for the grace time; a user that comes back on
//! another node has an entry there by then, so nobody is told of a leave. What the entries of one user come to, and so what is
//! shown of it, is said in [`profile`](super::user_status). Every node finds joins, updates and leaves by comparing that before and
//! after a change, so each tells its own members each user's in turn, whatever order the nodes hear of them in.
//!
//! **The bound.** In a room of more than `most` users nothing is told of single ones: a hundred thousand changes to a
//! hundred thousand members would be of no use to anybody. Everybody is counted all the same, and [`Presence::page`]
//! shows all of them to whoever asks. A list that was kept from before is out of date when the room is small enough
//! again; the `count` of the next change tells so.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Bound,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::value::RawValue;

use super::user_status::{Present, Profile, Stance, each_once, merged, take_over};
use crate::{
    backend::{PresenceEntry, RosterPage},
    model::{ConnectionId, NodeId, RoomName, Timestamp, UserId},
};

/// The users of one room.
///
/// A user is *here* from its first connection until the grace time after the last one is over and
/// [`expire`](Self::expire) was called.
#[derive(Debug)]
pub struct Presence {
    grace: Duration,
    most: usize,
    users: BTreeMap<UserId, User>,
    connections: HashMap<ConnectionId, UserId>,
    /// Users without a connection on this node, by the time when its entry ends.
    leaving: BTreeSet<(Instant, UserId)>,
    /// Users of whom this node has an entry.
    own: usize,
    /// Connections on other nodes.
    connected_elsewhere: usize,
    /// Users whose entry is another since [`take_noted`](Self::take_noted).
    noted: BTreeSet<UserId>,
}

/// Somebody who comes in with one connection.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who.
    pub user: UserId,
    /// How it is.
    pub stance: Stance,
}

/// One thing to tell the members of the room.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happened to the user.
    pub kind: ChangeKind,
    /// Who.
    pub user: UserId,
    /// What is shown of it, after an update the new one.
    pub profile: Profile,
    /// Users in the room after the change.
    pub count: usize,
}

/// What can happen to a user: first a join, then updates, then one leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is here from now on.
    Join,
    /// It is not here any more.
    Leave,
    /// What is shown of it is different.
    Update,
}

/// A part of the list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In the order of their ids.
    pub users: Vec<Present>,
    /// Ask for what is after this user to go on; `None` at the end.
    pub next: Option<UserId>,
}

/// One user in the room: the entries of all nodes that have it. Never without one.
#[derive(Debug, Default)]
struct User {
    own: Option<Own>,
    elsewhere: Vec<(NodeId, PresenceEntry)>,
}

/// This node's entry.
#[derive(Debug)]
struct Own {
    entry: PresenceEntry,
    /// When it ends; only while it has no connection.
    leaves: Option<Instant>,
}

impl Presence {
    /// An empty room where users stay for `grace` after their last connection, and where single users are told of as
    /// long as there are at most `most`; 0 is no limit.
    pub fn new(grace: Duration, most: usize) -> Self {
        Self {
            grace,
            most: if most == 0 { usize::MAX } else { most },
            users: BTreeMap::new(),
            connections: HashMap::new(),
            leaving: BTreeSet::new(),
            own: 0,
            connected_elsewhere: 0,
            noted: BTreeSet::new(),
        }
    }

    /// A connection comes in at `ts`; doing so again changes nothing.
    ///
    /// A `join` for a user who was not here. For one in its grace time, which ends hereby, an `update` if the profile
    /// is another than the room was told; with other connections, here or elsewhere, the profile stays as it is.
    pub fn enter(
        &mut self,
        connection: ConnectionId,
        who: Arrival,
        ts: Timestamp,
    ) -> Option<Change> {
        let Arrival { user, stance } = who;
        // A connection speaks for one user all its life.
        if self.connections.contains_key(&connection) {
            return None;
        }
        self.connections.insert(connection, user.clone());
        let (mut left, mut is_new) = (None, false);
        let change = self.alter(&user, |here| match &mut here.own {
            Some(own) => {
                own.entry.connections += 1;
                left = own.leaves.take();
                if left.is_some() {
                    own.come_back(stance);
                }
            }
            None => {
                is_new = true;
                here.begin(stance, ts);
            }
        });
        self.own += usize::from(is_new);
        if let Some(deadline) = left {
            self.leaving.remove(&(deadline, user.clone()));
        }
        self.noted.insert(user);
        change
    }

    /// A connection goes. When it was the last of its user here, this node's entry stays for the grace time. An `update` if the user
    /// is idle on all other nodes.
    pub fn leave(&mut self, connection: ConnectionId, now: Instant) -> Option<Change> {
        let user = self.connections.remove(&connection)?;
        let (grace, mut leaves) = (self.grace, None);
        let change = self.alter(&user, |here| {
            if let Some(own) = &mut here.own {
                own.entry.connections -= 1;
                leaves = (own.entry.connections == 0).then(|| now + grace);
                own.leaves = leaves;
            }
        });
        self.noted.insert(user.clone());
        if let Some(deadline) = leaves {
            self.leaving.insert((deadline, user));
        }
        change
    }

    /// A user is in another way. What it says counts if it is newer than what was said before; then another name and `info` do, too,
    /// unless those are `None`. An `update` if something else is shown of it than before.
    pub fn update(&mut self, user: &UserId, stance: Stance) -> Option<Change> {
        let own = self.entry(user)?;
        if own.changed >= stance.changed && own.idle == stance.idle {
            return None;
        }
        self.noted.insert(user.clone());
        self.alter(user, |here| {
            let Some(Own { entry, .. }) = &mut here.own else {
                return;
            };
            entry.idle = stance.idle;
            if stance.changed > entry.changed {
                entry.name = stance.profile.name.or(entry.name.take());
                entry.status = stance.profile.status;
                entry.info = stance.profile.info.or(entry.info.take());
                entry.changed = stance.changed;
            }
        })
    }

    /// Ends the grace times that are over by `now`, in their order: a `leave` for each user that no other node has.
    pub fn expire(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            let Some((_, user)) = self.leaving.pop_first() else {
                break;
            };
            changes.extend(self.end(&user));
        }
        changes
    }

    /// Ends a user's grace time now: a `leave` unless another node has it. One with a connection here stays.
    pub fn dismiss(&mut self, user: &UserId) -> Option<Change> {
        let leaves = self.users.get(user)?.own.as_ref()?.leaves?;
        self.leaving.remove(&(leaves, user.clone()));
        self.end(user)
    }

    /// Another node has this of a user now; `None`: nothing more.
    pub fn elsewhere(
        &mut self,
        node: NodeId,
        user: &UserId,
        entry: Option<PresenceEntry>,
    ) -> Option<Change> {
        let (mut before, mut told) = (0, false);
        let after = entry.as_ref().map_or(0, |entry| entry.connections);
        let change = self.alter(user, |here| {
            if let Some(at) = here.elsewhere.iter().position(|(of, _)| *of == node) {
                before = here.elsewhere.swap_remove(at).1.connections;
            }
            let Some(entry) = entry else { return };
            if let Some(own) = &mut here.own
                && entry.changed > own.entry.changed
            {
                take_over(&mut own.entry, &entry);
                told = true;
            }
            here.elsewhere.push((node, entry));
        });
        let others = self.connected_elsewhere.saturating_sub(before);
        self.connected_elsewhere = others.saturating_add(after);
        if told {
            self.noted.insert(user.clone());
        }
        change
    }

    /// Another node has gone, with all that it had.
    pub fn gone(&mut self, node: NodeId) -> Vec<Change> {
        self.drop_elsewhere(|of, _| of == node)
    }

    /// These are all entries of other nodes, in place of whatever was known of them.
    pub fn all(&mut self, entries: Vec<(NodeId, UserId, PresenceEntry)>) -> Vec<Change> {
        let listed: HashSet<(NodeId, UserId)> = entries
            .iter()
            .map(|(node, user, _)| (*node, user.clone()))
            .collect();
        // Those that are new first: of a user that went from one node to another nobody is told that it left.
        let mut changes: Vec<_> = entries
            .into_iter()
            .filter_map(|(node, user, entry)| self.elsewhere(node, &user, Some(entry)))
            .collect();
        changes.extend(self.drop_elsewhere(|node, user| !listed.contains(&(node, user.clone()))));
        changes
    }

    /// Users of whom this node has another entry than when this answered them last, with that entry; `None`: no more. Of all of
    /// them those that are `told`: the others are kept for a later time.
    pub fn take_noted(
        &mut self,
        told: impl Fn(&UserId) -> bool,
    ) -> Vec<(UserId, Option<PresenceEntry>)> {
        let noted = std::mem::take(&mut self.noted).into_iter();
        let (noted, kept): (BTreeSet<_>, _) = noted.partition(told);
        self.noted = kept;
        let noted = noted.into_iter().map(|user| {
            let entry = self.entry(&user).cloned();
            (user, entry)
        });
        noted.collect()
    }

    /// This node's entry of a user.
    pub fn entry(&self, user: &UserId) -> Option<&PresenceEntry> {
        let own = self.users.get(user)?.own.as_ref()?;
        Some(&own.entry)
    }

    /// What is shown of a user; `None` if it is not here.
    pub fn shown(&self, user: &UserId) -> Option<Profile> {
        self.users.get(user)?.shown()
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.leaving.first().map(|(deadline, _)| *deadline)
    }

    /// Whether a user is here.
    pub fn has(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// Users here, each counted once, those in their grace time included.
    pub fn count(&self) -> usize {
        self.users.len()
    }

    /// Users of whom this node has an entry: those with connections here, and those in their grace time after one here.
    pub fn own_count(&self) -> usize {
        self.own
    }

    /// Connections on other nodes.
    pub fn connections_elsewhere(&self) -> usize {
        self.connected_elsewhere
    }

    /// Connections of this node in the room.
    #[cfg(test)]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Whether there are so many users that nothing is told of single ones.
    pub fn is_crowded(&self) -> bool {
        self.count() > self.most
    }

    /// The first `limit` users behind `after`, who need not be here any more.
    pub fn page(&self, after: Option<&UserId>, limit: usize) -> Page {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.users.range::<UserId, _>((from, Bound::Unbounded));
        let users: Vec<_> = rest
            .by_ref()
            .take(limit)
            .filter_map(|(user, here)| Some(Present::of(user, &here.merged()?)))
            .collect();
        let next = users.last().map(|last| last.user.clone());
        Page {
            users,
            next: next.filter(|_| rest.next().is_some()),
        }
    }

    /// Drops those entries of other nodes.
    fn drop_elsewhere(&mut self, of: impl Fn(NodeId, &UserId) -> bool) -> Vec<Change> {
        let mut dropped = Vec::new();
        for (user, here) in &self.users {
            let nodes = here.elsewhere.iter().map(|(node, _)| *node);
            dropped.extend(
                nodes
                    .filter(|node| of(*node, user))
                    .map(|node| (node, user.clone())),
            );
        }
        let dropped = dropped.into_iter();
        dropped
            .filter_map(|(node, user)| self.elsewhere(node, &user, None))
            .collect()
    }

    /// Ends this node's entry.
    fn end(&mut self, user: &UserId) -> Option<Change> {
        self.own -= 1;
        self.noted.insert(user.clone());
        self.alter(user, |here| here.own = None)
    }

    /// Alters what there is of a user, who need not be here, and finds what that changes for the room.
    fn alter(&mut self, user: &UserId, act: impl FnOnce(&mut User)) -> Option<Change> {
        let here = self.users.entry(user.clone()).or_default();
        let before = here.shown();
        act(here);
        let after = here.shown();
        if after.is_none() {
            self.users.remove(user);
        }
        let (kind, profile) = match (before, after) {
            (None, Some(profile)) => (ChangeKind::Join, profile),
            (Some(profile), None) => (ChangeKind::Leave, profile),
            (Some(before), Some(after)) if before != after => (ChangeKind::Update, after),
            _ => return None,
        };
        self.change(kind, user.clone(), profile)
    }

    /// A change that has been made, unless the room was or is too full to tell of it.
    fn change(&self, kind: ChangeKind, user: UserId, profile: Profile) -> Option<Change> {
        let count = self.count();
        let most_involved = count + usize::from(kind == ChangeKind::Leave);
        (most_involved <= self.most).then_some(Change {
            kind,
            user,
            profile,
            count,
        })
    }
}

impl Page {
    /// What the nodes together answer.
    pub fn of(census: &RosterPage) -> Self {
        let users = each_once(&census.users);
        let next = users.last().filter(|_| census.more);
        Self {
            next: next.map(|last| last.user.clone()),
            users,
        }
    }
}

impl User {
    /// What is shown of the user; `None` if it is not here.
    fn shown(&self) -> Option<Profile> {
        self.merged().map(|entry| Profile::of(&entry))
    }

    fn merged(&self) -> Option<PresenceEntry> {
        let own = self.own.iter().map(|own| &own.entry);
        merged(own.chain(self.elsewhere.iter().map(|(_, entry)| entry)))
    }

    /// Begins this node's entry. One who is here elsewhere shows what it shows there, as with a second connection here; one who
    /// has only just gone there shows itself anew, but what it said counts still.
    fn begin(&mut self, stance: Stance, ts: Timestamp) {
        let mut entry = stance.begin(ts);
        if let Some(elsewhere) = self.merged() {
            entry.since = entry.since.min(elsewhere.since);
            let connected = elsewhere.connections > 0;
            if elsewhere.changed > entry.changed || elsewhere.changed == entry.changed && connected
            {
                take_over(&mut entry, &elsewhere);
            }
        }
        self.own = Some(Own {
            entry,
            leaves: None,
        });
    }
}

impl Own {
    /// Comes back within its grace time.
    fn come_back(&mut self, stance: Stance) {
        if stance.changed >= self.entry.changed {
            let (since, connections) = (self.entry.since, self.entry.connections);
            self.entry = stance.begin(since);
            self.entry.connections = connections;
        }
    }
}

impl Change {
    /// The argument of the `presence` event:
    /// `{ room, event: "join"|"leave"|"update", user, name?, status, info?, count, ts }`.
    pub fn event<'a>(&'a self, room: &'a RoomName, ts: Timestamp) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Told<'a> {
            room: &'a RoomName,
            event: ChangeKind,
            user: &'a UserId,
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            status: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            info: Option<&'a RawValue>,
            count: usize,
            ts: Timestamp,
        }
        Told {
            room,
            event: self.kind,
            user: &self.user,
            name: self.profile.name.as_deref(),
            status: &self.profile.status,
            info: self.profile.info.as_deref(),
            count: self.count,
            ts,
        }
    }
}

#[cfg(test)]
mod tests;
