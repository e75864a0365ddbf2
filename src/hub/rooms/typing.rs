//! Who is typing in one room: each user once, however many of its connections do.
//!
//! Pure state: it is given the time, never awaits, and knows neither how announcements are sent nor who is in the
//! room. A connection types until a fixed time after it last said so; a user types while any of its connections does.
//! Receivers clear a user on their own when the announced time is over, so whoever goes on is announced again then,
//! and not before: saying so ten times a second costs the members nothing.
//!
//! Connections of other nodes are among them like those of this one; what becomes of a node does not matter, since they end by
//! themselves. Those of this node are told to the others when [`Typing::tells`] says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::model::{ConnectionId, RoomName, UserId};

/// The users who are typing in one room.
#[derive(Debug)]
pub struct Typing {
    timeout: Duration,
    most: usize,
    typists: BTreeMap<UserId, Typist>,
    /// Each typist once, by the time when something is to be announced of it.
    due: BTreeSet<(Instant, UserId)>,
}

/// Something to tell the other members of the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// Who.
    pub user: UserId,
    /// The name to show.
    pub name: Option<Arc<str>>,
    /// For how long it is typing unless it is announced again; `None`: it is not typing any more.
    pub expires_in: Option<Duration>,
}

/// One user who is typing.
#[derive(Debug)]
struct Typist {
    name: Option<Arc<str>>,
    /// Those of its connections that are typing. Never empty.
    connections: Vec<Hand>,
    /// When receivers clear the user on their own; of one that is put off, when it is announced at all.
    announced_until: Instant,
    /// Receivers were told of it.
    announced: bool,
}

/// One connection that is typing.
#[derive(Debug)]
struct Hand {
    connection: ConnectionId,
    until: Instant,
    /// When other nodes were told of it last.
    told: Option<Instant>,
}

impl Typing {
    /// Nobody typing; a connection types for `timeout` each time it says so, and at most `most` users are kept and
    /// announced at once; 0 is no limit.
    pub fn new(timeout: Duration, most: usize) -> Self {
        Self {
            timeout,
            most: if most == 0 { usize::MAX } else { most },
            typists: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// A connection types, or goes on typing. Announced if its user did not type before.
    ///
    /// Beyond the bound nothing is kept; saying so again succeeds once there is room.
    pub fn start(
        &mut self,
        connection: ConnectionId,
        user: &UserId,
        name: Option<Arc<str>>,
        now: Instant,
    ) -> Option<Announce> {
        let until = now + self.timeout;
        if let Some(mut typist) = self.take(user) {
            let told = typist.forget(connection).and_then(|hand| hand.told);
            typist.connections.push(Hand {
                connection,
                until,
                told,
            });
            self.put(user.clone(), typist);
            return None;
        }
        if self.refuses(user) {
            return None;
        }
        let typist = Typist {
            name,
            connections: vec![Hand {
                connection,
                until,
                told: None,
            }],
            announced_until: until,
            announced: true,
        };
        let announce = typist.announce(user, Some(self.timeout));
        self.put(user.clone(), typist);
        Some(announce)
    }

    /// A user whose typing was to be announced is announced no sooner than at `at`, and only if it types then.
    pub fn put_off(&mut self, user: &UserId, at: Instant) {
        if let Some(mut typist) = self.take(user) {
            typist.announced_until = at;
            typist.announced = false;
            self.put(user.clone(), typist);
        }
    }

    /// A connection types no more: it said so, left the room or went away. Announced if no other connection of its
    /// user is typing at `now`.
    pub fn stop(
        &mut self,
        connection: ConnectionId,
        user: &UserId,
        now: Instant,
    ) -> Option<Announce> {
        let mut typist = self.take(user)?;
        typist.forget(connection);
        if typist.until().is_some_and(|until| until > now) {
            self.put(user.clone(), typist);
            return None;
        }
        typist.end(user)
    }

    /// A message of the user is there: whatever it was typing, on any connection, is written.
    pub fn sent(&mut self, user: &UserId) -> Option<Announce> {
        self.take(user)?.end(user)
    }

    /// What is to be announced by `now`, in the order of time: users whose time is over, and users whose announced
    /// time is over while they go on.
    pub fn due(&mut self, now: Instant) -> Vec<Announce> {
        let mut announces = Vec::new();
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            let Some((_, user)) = self.due.pop_first() else {
                break;
            };
            let Some(mut typist) = self.typists.remove(&user) else {
                continue;
            };
            typist.connections.retain(|hand| hand.until > now);
            match typist.until() {
                Some(until) => {
                    typist.announced_until = until;
                    typist.announced = true;
                    announces.push(typist.announce(&user, Some(until - now)));
                    self.put(user, typist);
                }
                None => announces.extend(typist.end(&user)),
            }
        }
        announces
    }

    /// When [`due`](Self::due) has something to announce next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    /// What somebody who comes in at `now` has to be told: everybody who is typing, with the time that is left.
    pub fn now_typing(&self, now: Instant) -> Vec<Announce> {
        self.typists
            .iter()
            .filter_map(|(user, typist)| {
                let left = typist.until()?.checked_duration_since(now)?;
                (!left.is_zero()).then(|| typist.announce(user, Some(left)))
            })
            .collect()
    }

    /// Whether a connection is typing.
    pub fn has(&self, connection: ConnectionId, user: &UserId) -> bool {
        let typist = self.typists.get(user);
        typist.is_some_and(|typist| {
            let mut hands = typist.connections.iter();
            hands.any(|hand| hand.connection == connection)
        })
    }

    /// Whether other nodes are to be told that a connection types: they were not yet, or so long ago that they would take it to
    /// have stopped before it says so again. If so, they are taken to be told at `now`.
    pub fn tells(&mut self, connection: ConnectionId, user: &UserId, now: Instant) -> bool {
        let again = self.timeout / 3;
        let Some(typist) = self.typists.get_mut(user) else {
            return false;
        };
        let mut hands = typist.connections.iter_mut();
        let Some(hand) = hands.find(|hand| hand.connection == connection) else {
            return false;
        };
        let due = hand
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= again);
        if due {
            hand.told = Some(now);
        }
        due
    }

    /// Users who are typing.
    pub fn count(&self) -> usize {
        self.typists.len()
    }

    /// Whether so many are typing that `user`, who is not, would not be kept.
    pub fn refuses(&self, user: &UserId) -> bool {
        self.count() >= self.most && !self.typists.contains_key(user)
    }

    /// Whether nobody is typing and nothing is still to be announced: there is nothing to keep.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.typists.is_empty()
    }

    /// Takes a user out, to be changed and [`put`](Self::put) back or dropped.
    fn take(&mut self, user: &UserId) -> Option<Typist> {
        let typist = self.typists.remove(user)?;
        if let Some(deadline) = typist.deadline() {
            self.due.remove(&(deadline, user.clone()));
        }
        Some(typist)
    }

    fn put(&mut self, user: UserId, typist: Typist) {
        if let Some(deadline) = typist.deadline() {
            self.due.insert((deadline, user.clone()));
            self.typists.insert(user, typist);
        }
    }
}

impl Typist {
    /// Until when it types; `None` if none of its connections does.
    fn until(&self) -> Option<Instant> {
        self.connections.iter().map(|hand| hand.until).max()
    }

    /// When something is to be announced: its end, or before that the end of what was announced. After the connection
    /// that was announced stops, the end can be the earlier one.
    fn deadline(&self) -> Option<Instant> {
        Some(self.until()?.min(self.announced_until))
    }

    fn forget(&mut self, connection: ConnectionId) -> Option<Hand> {
        let mut hands = self.connections.iter();
        let at = hands.position(|hand| hand.connection == connection)?;
        Some(self.connections.swap_remove(at))
    }

    /// What is announced at its end.
    fn end(&self, user: &UserId) -> Option<Announce> {
        self.announced.then(|| self.announce(user, None))
    }

    fn announce(&self, user: &UserId, expires_in: Option<Duration>) -> Announce {
        Announce {
            user: user.clone(),
            name: self.name.clone(),
            expires_in,
        }
    }
}

impl Announce {
    /// The argument of the `typing` event: `{ room, user, name?, typing, expires_in_ms }`. A rest of a millisecond
    /// counts as a whole one, so that it is 0 only when nobody is typing.
    pub fn event<'a>(&'a self, room: &'a RoomName) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Told<'a> {
            room: &'a RoomName,
            user: &'a UserId,
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            typing: bool,
            expires_in_ms: u64,
        }
        let left = self.expires_in.unwrap_or(Duration::ZERO);
        Told {
            room,
            user: &self.user,
            name: self.name.as_deref(),
            typing: self.expires_in.is_some(),
            expires_in_ms: u64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
