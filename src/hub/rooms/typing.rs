//! Who is typing in one room: each user once, however many of its connections are.
//!
//! Pure state: it is given the time, never awaits, and knows neither how changes are sent nor who is in the room. A connection
//! types until a fixed time after it last said so; a user types while any of its connections does. Receivers clear a user on
//! their own when the announced time is over, so a user that continues is announced again then, and not before: saying so
//! ten times a second costs the members nothing.
//!
//! Connections of other nodes are treated like those of this one; they end by themselves, so nothing has to be done when a node
//! fails. Those of this node are announced to other nodes when [`Typing::should_notify_nodes`] returns true.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::model::{ConnectionId, RoomName, Seq, UserId};

/// The users who are typing in one room.
#[derive(Debug)]
pub struct Typing {
    timeout: Duration,
    max_users: usize,
    typists: BTreeMap<UserId, Typist>,
    /// Each typist once, by the time when something is to be announced of it.
    due: BTreeSet<(Instant, UserId)>,
}

/// A change that the other members of the room are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypingChange {
    /// Whose typing started, continues or stopped.
    pub user: UserId,
    /// The name to show.
    pub name: Option<Arc<str>>,
    /// How long the user is to be shown as typing unless it is announced again; `None`: it has stopped.
    pub expires_in: Option<Duration>,
}

/// One user who is typing.
#[derive(Debug)]
struct Typist {
    name: Option<Arc<str>>,
    /// Those of its connections that are typing. Never empty.
    connections: Vec<TypingConnection>,
    /// When receivers clear the user on their own; if its start was deferred, when it is announced.
    announced_until: Instant,
    /// Receivers were told of it.
    announced: bool,
}

/// One connection that is typing.
#[derive(Debug)]
struct TypingConnection {
    connection: ConnectionId,
    until: Instant,
    /// The last message of this connection that was stored before: it and earlier ones do not end this.
    after: Option<Seq>,
    /// When other nodes were last notified of it.
    nodes_notified: Option<Instant>,
}

impl Typing {
    /// Nobody typing. A connection types for `timeout` each time it says so, and at most `max_users` users are kept and
    /// announced at once; 0 is no limit.
    pub fn new(timeout: Duration, max_users: usize) -> Self {
        Self {
            timeout,
            max_users: if max_users == 0 {
                usize::MAX
            } else {
                max_users
            },
            typists: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// A connection starts typing, or continues to. Returns a change if its user was not typing before.
    ///
    /// `after` is its last message: it was stored, but perhaps not delivered yet. Beyond the limit the user is not kept; it
    /// succeeds when it says so again and there is room.
    pub fn start(
        &mut self,
        connection: ConnectionId,
        user: &UserId,
        name: Option<Arc<str>>,
        after: Option<Seq>,
        now: Instant,
    ) -> Option<TypingChange> {
        let until = now + self.timeout;
        if let Some(mut typist) = self.take(user) {
            let before = typist.remove(connection);
            typist.connections.push(TypingConnection {
                connection,
                until,
                after,
                nodes_notified: before.and_then(|before| before.nodes_notified),
            });
            self.put(user.clone(), typist);
            return None;
        }
        if self.rejects(user) {
            return None;
        }
        let typist = Typist {
            name,
            connections: vec![TypingConnection {
                connection,
                until,
                after,
                nodes_notified: None,
            }],
            announced_until: until,
            announced: true,
        };
        let change = typist.change(user, Some(self.timeout));
        self.put(user.clone(), typist);
        Some(change)
    }

    /// Defers the announcement of a user that started typing until `at`; it is dropped if the user is not typing then.
    pub fn defer(&mut self, user: &UserId, at: Instant) {
        if let Some(mut typist) = self.take(user) {
            typist.announced_until = at;
            typist.announced = false;
            self.put(user.clone(), typist);
        }
    }

    /// A connection stops typing: it said so, left the room or closed. Returns a change if no other connection of its user is
    /// typing at `now`.
    pub fn stop(
        &mut self,
        connection: ConnectionId,
        user: &UserId,
        now: Instant,
    ) -> Option<TypingChange> {
        let mut typist = self.take(user)?;
        typist.remove(connection);
        if typist.until().is_some_and(|until| until > now) {
            self.put(user.clone(), typist);
            return None;
        }
        typist.stopped(user)
    }

    /// The user's message was delivered: typing ends on all connections but those that started behind it. Returns the end, and the
    /// start of what goes on.
    pub fn finish(&mut self, user: &UserId, message: Seq, now: Instant) -> Vec<TypingChange> {
        let Some(mut typist) = self.take(user) else {
            return Vec::new();
        };
        let end = typist.stopped(user);
        let mut changes = Vec::from_iter(end);
        typist
            .connections
            .retain(|one| one.until > now && one.after >= Some(message));
        if let Some(until) = typist.until() {
            if typist.announced {
                typist.announced_until = until;
                changes.push(typist.change(user, Some(until - now)));
            }
            for one in &mut typist.connections {
                one.nodes_notified = None;
            }
            self.put(user.clone(), typist);
        }
        changes
    }

    /// The connections of a user that are typing.
    pub fn connections(&self, user: &UserId) -> Vec<ConnectionId> {
        let typist = self.typists.get(user);
        let connections = typist.iter().flat_map(|typist| &typist.connections);
        connections.map(|one| one.connection).collect()
    }

    /// Returns what is to be announced by `now`, in the order of time: users whose time is over, and users who continue beyond
    /// the announced time.
    pub fn take_due(&mut self, now: Instant) -> Vec<TypingChange> {
        let mut changes = Vec::new();
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            let Some((_, user)) = self.due.pop_first() else {
                break;
            };
            let Some(mut typist) = self.typists.remove(&user) else {
                continue;
            };
            typist.connections.retain(|one| one.until > now);
            match typist.until() {
                Some(until) => {
                    typist.announced_until = until;
                    typist.announced = true;
                    changes.push(typist.change(&user, Some(until - now)));
                    self.put(user, typist);
                }
                None => changes.extend(typist.stopped(&user)),
            }
        }
        changes
    }

    /// When [`take_due`](Self::take_due) has something to return next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    /// Everybody who is typing at `now` and was announced, with the time that is left: what a new member is told. It is told of the others
    /// with everybody else.
    pub fn current(&self, now: Instant) -> Vec<TypingChange> {
        self.typists
            .iter()
            .filter(|(_, typist)| typist.announced)
            .filter_map(|(user, typist)| {
                let left = typist.until()?.checked_duration_since(now)?;
                (!left.is_zero()).then(|| typist.change(user, Some(left)))
            })
            .collect()
    }

    /// Whether a connection is typing.
    pub fn is_typing(&self, connection: ConnectionId, user: &UserId) -> bool {
        let typist = self.typists.get(user);
        typist.is_some_and(|typist| {
            let mut connections = typist.connections.iter();
            connections.any(|one| one.connection == connection)
        })
    }

    /// Whether other nodes are to be told that a connection is typing: they have not been, or so long ago that they would take it
    /// to have stopped before it says so again. If so, records that they are told at `now`.
    pub fn should_notify_nodes(
        &mut self,
        connection: ConnectionId,
        user: &UserId,
        now: Instant,
    ) -> bool {
        let interval = self.timeout / 3;
        let Some(typist) = self.typists.get_mut(user) else {
            return false;
        };
        let mut connections = typist.connections.iter_mut();
        let Some(typing) = connections.find(|one| one.connection == connection) else {
            return false;
        };
        let due = typing
            .nodes_notified
            .is_none_or(|notified| now.saturating_duration_since(notified) >= interval);
        if due {
            typing.nodes_notified = Some(now);
        }
        due
    }

    /// Users who are typing.
    pub fn user_count(&self) -> usize {
        self.typists.len()
    }

    /// Whether so many users are typing that `user`, who is not, would not be kept.
    pub fn rejects(&self, user: &UserId) -> bool {
        self.user_count() >= self.max_users && !self.typists.contains_key(user)
    }

    /// Whether nobody is typing and nothing is to be announced.
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
        self.connections.iter().map(|one| one.until).max()
    }

    /// When something is to be announced: its end, or before that the end of what was announced. After the announced
    /// connection stops, the end can be the earlier one.
    fn deadline(&self) -> Option<Instant> {
        Some(self.until()?.min(self.announced_until))
    }

    fn remove(&mut self, connection: ConnectionId) -> Option<TypingConnection> {
        let mut connections = self.connections.iter();
        let at = connections.position(|one| one.connection == connection)?;
        Some(self.connections.swap_remove(at))
    }

    /// The change when it stops, if its start was announced.
    fn stopped(&self, user: &UserId) -> Option<TypingChange> {
        self.announced.then(|| self.change(user, None))
    }

    fn change(&self, user: &UserId, expires_in: Option<Duration>) -> TypingChange {
        TypingChange {
            user: user.clone(),
            name: self.name.clone(),
            expires_in,
        }
    }
}

impl TypingChange {
    /// The argument of the `typing` event: `{ room, user, name?, typing, expires_in_ms }`. A part of a millisecond counts as a
    /// whole one, so that it is 0 only when nobody is typing.
    pub fn event<'a>(&'a self, room: &'a RoomName) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Argument<'a> {
            room: &'a RoomName,
            user: &'a UserId,
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            typing: bool,
            expires_in_ms: u64,
        }
        let left = self.expires_in.unwrap_or(Duration::ZERO);
        Argument {
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
