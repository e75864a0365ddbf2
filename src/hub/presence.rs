//! Who is in one room: each user once, however many connections it has there.
//!
//! Pure state: it is given the time, never awaits, and knows neither how changes are sent nor of other rooms. A user
//! whose last connection goes stays for a grace time, so that a reload or a short loss of the network is no news.
//!
//! **The bound.** In a room of more than `most` users nothing is told of single ones: a hundred thousand changes to a
//! hundred thousand members would be of no use to anybody. Everybody is counted all the same, and [`Presence::page`]
//! shows all of them to whoever asks. A list that was kept from before is out of date when the room is small enough
//! again; the `count` of the next change tells so.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::{ConnectionId, RoomName, Timestamp, UserId};

/// The users of one room.
///
/// A user is *here* from its first connection until the grace time after the last one is over and
/// [`expire`](Self::expire) was called.
#[derive(Debug)]
pub struct Presence {
    grace: Duration,
    most: usize,
    users: BTreeMap<UserId, Attendance>,
    connections: HashMap<ConnectionId, UserId>,
    /// Users without a connection, by the time when they leave.
    leaving: BTreeSet<(Instant, UserId)>,
}

/// Somebody who comes in with one connection.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who.
    pub user: UserId,
    /// What to show of it.
    pub profile: Profile,
}

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

/// A part of the list.
#[derive(Clone, Debug)]
pub struct Page {
    /// In the order of their ids.
    pub users: Vec<Present>,
    /// Ask for what is after this user to go on; `None` at the end.
    pub next: Option<UserId>,
}

/// One user in the room.
#[derive(Debug)]
struct Attendance {
    profile: Profile,
    connections: usize,
    since: Timestamp,
    /// When it leaves; only while it has no connection.
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
        }
    }

    /// A connection comes in at `ts`; doing so again changes nothing.
    ///
    /// A `join` for a user who was not here. For one in its grace time, which ends hereby, an `update` if the profile
    /// is another than the room was told; with other connections here the profile stays as it is.
    pub fn enter(
        &mut self,
        connection: ConnectionId,
        who: Arrival,
        ts: Timestamp,
    ) -> Option<Change> {
        let Arrival { user, profile } = who;
        // A connection speaks for one user all its life.
        if self.connections.contains_key(&connection) {
            return None;
        }
        self.connections.insert(connection, user.clone());
        if let Some(attendance) = self.users.get_mut(&user) {
            attendance.connections += 1;
            let deadline = attendance.leaves.take()?;
            self.leaving.remove(&(deadline, user.clone()));
            return self.show(user, profile);
        }
        let attendance = Attendance {
            profile: profile.clone(),
            connections: 1,
            since: ts,
            leaves: None,
        };
        self.users.insert(user.clone(), attendance);
        self.change(ChangeKind::Join, user, profile)
    }

    /// A connection goes. When it was the last of its user, the answer is when that user leaves.
    pub fn leave(&mut self, connection: ConnectionId, now: Instant) -> Option<Instant> {
        let user = self.connections.remove(&connection)?;
        let attendance = self.users.get_mut(&user)?;
        attendance.connections -= 1;
        if attendance.connections > 0 {
            return None;
        }
        let deadline = now + self.grace;
        attendance.leaves = Some(deadline);
        self.leaving.insert((deadline, user));
        Some(deadline)
    }

    /// Shows another status, and another name and `info` unless those are `None`. An `update` if the user is here and
    /// anything is different.
    pub fn update(&mut self, user: &UserId, profile: Profile) -> Option<Change> {
        let attendance = self.users.get(user)?;
        let shown = &attendance.profile;
        let profile = Profile {
            name: profile.name.or_else(|| shown.name.clone()),
            status: profile.status,
            info: profile.info.or_else(|| shown.info.clone()),
        };
        self.show(user.clone(), profile)
    }

    /// Ends the grace times that are over by `now`, in their order: a `leave` each.
    pub fn expire(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            let Some((_, user)) = self.leaving.pop_first() else {
                break;
            };
            if let Some(Attendance { profile, .. }) = self.users.remove(&user) {
                changes.extend(self.change(ChangeKind::Leave, user, profile));
            }
        }
        changes
    }

    /// Ends a user's grace time now: a `leave`. One with a connection here stays.
    pub fn dismiss(&mut self, user: &UserId) -> Option<Change> {
        let leaves = self.users.get(user)?.leaves?;
        self.leaving.remove(&(leaves, user.clone()));
        let Attendance { profile, .. } = self.users.remove(user)?;
        self.change(ChangeKind::Leave, user.clone(), profile)
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

    /// Connections in the room.
    #[cfg(test)]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Whether there are so many users that nothing is told of single ones.
    pub fn is_crowded(&self) -> bool {
        self.count() > self.most
    }

    /// Whether nobody is here and nobody is still to leave: there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The first `limit` users behind `after`, who need not be here any more.
    pub fn page(&self, after: Option<&UserId>, limit: usize) -> Page {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.users.range::<UserId, _>((from, Bound::Unbounded));
        let users: Vec<_> = rest
            .by_ref()
            .take(limit)
            .map(|(user, attendance)| attendance.present(user))
            .collect();
        let next = users.last().map(|last| last.user.clone());
        Page {
            users,
            next: next.filter(|_| rest.next().is_some()),
        }
    }

    /// Takes over a profile; an `update` if it is another than the user had.
    fn show(&mut self, user: UserId, profile: Profile) -> Option<Change> {
        let attendance = self.users.get_mut(&user)?;
        if attendance.profile == profile {
            return None;
        }
        attendance.profile = profile.clone();
        self.change(ChangeKind::Update, user, profile)
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

impl Attendance {
    fn present(&self, user: &UserId) -> Present {
        let Profile { name, status, info } = self.profile.clone();
        Present {
            user: user.clone(),
            name,
            status,
            info,
            connections: self.connections,
            since: self.since,
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
#[path = "presence_tests.rs"]
mod tests;
