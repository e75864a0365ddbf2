//! One room of this node: its members, who of them is shown, who is typing.
//!
//! Given the time, never awaits; [`Rooms`](super::rooms::Rooms) holds it under a mutex. A member is either live or still
//! reading what it missed. While it reads, its live events are held back within a bound; [`Room::go_live`] merges them
//! by `seq` behind what was read. Every member also has the number it was given everything up to: a message up to that
//! number is never delivered again.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use indexmap::IndexMap;
use serde_json::json;

use super::{
    connection::{Connection, Outlet},
    event::{Event, Outgoing},
    presence::{Arrival, Change, Page, Presence, Profile},
    typing::{Announce, Typing},
};
use crate::{
    auth::Permission,
    model::{ConnectionId, RoomName, Seq, Timestamp, UserId},
};

/// Held events of one member: past either bound the log is read again instead.
const HELD_EVENTS: usize = 1024;
const HELD_BYTES: usize = 1 << 20;

/// How rooms treat their members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// How long a user without a connection stays.
    pub(super) grace: Duration,
    /// Users beyond which nothing is told of single ones.
    pub(super) room_users: usize,
    /// How long somebody is typing who says so once.
    pub(super) typing: Duration,
    /// Users who can be typing at once.
    pub(super) typists: usize,
}

/// A room with its members.
pub(super) struct Room {
    name: RoomName,
    members: IndexMap<ConnectionId, Member>,
    presence: Presence,
    typing: Typing,
    /// How far the members were told that users have read; of users that have gone nothing has to be known.
    told_read: HashMap<UserId, Seq>,
    /// When it is to be looked after next, as far as that was asked for.
    pub(super) scheduled: Option<Instant>,
    /// Events handed to members, to be counted by whoever holds the room.
    pub(super) delivered: u64,
    /// How many users are here and how many of them type, as it was last counted.
    pub(super) counted: (usize, usize),
}

struct Member {
    outlet: Arc<dyn Outlet>,
    user: UserId,
    /// May be told who is here.
    sees: bool,
    stage: Stage,
}

/// Where a member stands with the room's messages.
pub(super) enum Stage {
    /// Has everything up to this number and gets what is newer.
    Live { after: Seq },
    /// Still reading.
    Reading(Held),
}

/// Live events of a member that reads.
#[derive(Default)]
pub(super) struct Held {
    events: Vec<Arc<Outgoing>>,
    bytes: usize,
    /// Something did not fit: the messages that were held are gone, the log has them.
    overflowed: bool,
}

/// Whether a member has caught up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Caught {
    /// It is live.
    Up,
    /// More came than could be held: read the log after this number and come again.
    Behind(Seq),
}

impl Room {
    pub(super) fn new(name: RoomName, manners: Manners) -> Self {
        Self {
            name,
            members: IndexMap::new(),
            presence: Presence::new(manners.grace, manners.room_users),
            typing: Typing::new(manners.typing, manners.typists),
            told_read: HashMap::new(),
            scheduled: None,
            delivered: 0,
            counted: (0, 0),
        }
    }

    /// Puts a member at a stage; the answer is the stage it was at before.
    pub(super) fn place(&mut self, connection: &Connection, stage: Stage) -> Option<Stage> {
        let principal = connection.principal();
        let sees = principal.may(Permission::Presence, &self.name);
        if let Some(member) = self.members.get_mut(&connection.id()) {
            member.sees = sees;
            return Some(std::mem::replace(&mut member.stage, stage));
        }
        let member = Member {
            outlet: connection.outlet().clone(),
            user: principal.user.clone(),
            sees,
            stage,
        };
        self.members.insert(connection.id(), member);
        None
    }

    /// Notes what a member may see now that its identity was replaced.
    pub(super) fn refreshed(&mut self, connection: &Connection) {
        if let Some(member) = self.members.get_mut(&connection.id()) {
            member.sees = connection.principal().may(Permission::Presence, &self.name);
        }
    }

    /// A member has joined for good: the others are told if its user was not here.
    pub(super) fn appear(&mut self, connection: ConnectionId, who: Arrival, ts: Timestamp) {
        // One that was taken out meanwhile would stay for ever: nobody takes it out again.
        if !self.members.contains_key(&connection) {
            return;
        }
        if let Some(change) = self.presence.enter(connection, who, ts) {
            self.tell(&change, Some(connection), ts);
        }
    }

    /// Ends a membership; true if there was one.
    pub(super) fn remove(&mut self, connection: ConnectionId, now: Instant) -> bool {
        let Some(member) = self.members.swap_remove(&connection) else {
            return false;
        };
        self.presence.leave(connection, now);
        if let Some(announce) = self.typing.stop(connection, &member.user, now) {
            self.announce(&announce);
        }
        true
    }

    /// Shows another profile of a user, to everybody but `except`.
    pub(super) fn update(
        &mut self,
        user: &UserId,
        profile: Profile,
        except: Option<ConnectionId>,
        ts: Timestamp,
    ) {
        if let Some(change) = self.presence.update(user, profile) {
            self.tell(&change, except, ts);
        }
    }

    /// A member says that it is typing, or that it is not.
    pub(super) fn types(
        &mut self,
        connection: ConnectionId,
        user: &UserId,
        name: Option<Arc<str>>,
        typing: bool,
        now: Instant,
    ) {
        let announce = if typing {
            self.typing.start(connection, user, name, now)
        } else {
            self.typing.stop(connection, user, now)
        };
        if let Some(announce) = announce {
            self.announce(&announce);
        }
    }

    /// Tells the others how far a user has read, unless they know of further: marks that are set by several connections
    /// at once can come here in any order. In a crowded room only the user's own connections are told.
    pub(super) fn has_read(&mut self, user: &UserId, seq: Seq, except: ConnectionId) {
        let told = self.told_read.entry(user.clone()).or_default();
        if *told >= seq {
            return;
        }
        *told = seq;
        let told = json!({ "room": self.name, "user": user, "seq": seq });
        let event = Outgoing::notice("read", &told);
        let crowded = self.is_crowded();
        for (connection, member) in &mut self.members {
            let concerns = !crowded || member.user == *user;
            if concerns && *connection != except && member.offer(&event) {
                self.delivered += 1;
            }
        }
    }

    /// Tells one member who is typing.
    pub(super) fn tell_typists(&mut self, connection: ConnectionId, now: Instant) {
        let announces = self.typing.now_typing(now);
        let Some(member) = self.members.get_mut(&connection) else {
            return;
        };
        for announce in announces {
            if announce.user != member.user {
                let event = Outgoing::notice("typing", &announce.event(&self.name));
                self.delivered += u64::from(member.offer(&event));
            }
        }
    }

    /// Does what is due: users leave whose grace is over, and whoever stopped typing is told of.
    pub(super) fn look_after(&mut self, now: Instant, ts: Timestamp) {
        for change in self.presence.expire(now) {
            self.tell(&change, None, ts);
        }
        for announce in self.typing.due(now) {
            self.announce(&announce);
        }
        if self.told_read.len() > 2 * self.presence.count() {
            self.told_read.retain(|user, _| self.presence.has(user));
        }
    }

    /// When there is something to [`look_after`](Self::look_after) next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.presence.next_deadline(), self.typing.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Whether there is nothing to keep of it.
    pub(super) fn is_over(&self) -> bool {
        self.members.is_empty() && self.presence.is_empty()
    }

    /// Delivers to every member but `except`, each through its stage.
    pub(super) fn deliver(&mut self, event: &Arc<Outgoing>, except: Option<ConnectionId>) {
        for (connection, member) in &mut self.members {
            if Some(*connection) == except {
                member.pass_over(event);
            } else if member.offer(event) {
                self.delivered += 1;
            }
        }
        if let Event::Message(message) = event.event()
            && let Some(from) = &message.from
            && let Some(announce) = self.typing.sent(&from.user)
        {
            self.announce(&announce);
        }
    }

    /// Releases what was held of a member that has been given everything up to `after`; live from then on.
    ///
    /// Held events are pushed in the order they came; those with a number up to `after` were read already.
    pub(super) fn go_live(&mut self, connection: ConnectionId, after: Seq) -> Caught {
        let Some(member) = self.members.get_mut(&connection) else {
            return Caught::Up;
        };
        let Stage::Reading(held) = &mut member.stage else {
            return Caught::Up;
        };
        if std::mem::take(&mut held.overflowed) {
            return Caught::Behind(after);
        }
        let held = std::mem::take(held);
        member.stage = Stage::Live { after };
        for event in &held.events {
            self.delivered += u64::from(member.offer(event));
        }
        Caught::Up
    }

    /// How many users are here and how many of them type.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.presence.count(), self.typing.count())
    }

    /// Whether so many users type that this one would not be told of.
    pub(super) fn refuses_typist(&self, user: &UserId) -> bool {
        self.typing.refuses(user)
    }

    /// How many users are here.
    pub(super) fn count(&self) -> usize {
        self.presence.count()
    }

    /// Whether nothing is told of single users.
    pub(super) fn is_crowded(&self) -> bool {
        self.presence.is_crowded()
    }

    /// Some of the users, in the order of their ids.
    pub(super) fn page(&self, after: Option<&UserId>, limit: usize) -> Page {
        self.presence.page(after, limit)
    }

    /// Tells the members who may see it, but not `except`, of a user.
    fn tell(&mut self, change: &Change, except: Option<ConnectionId>, ts: Timestamp) {
        let event = Outgoing::notice("presence", &change.event(&self.name, ts));
        for (connection, member) in &mut self.members {
            if member.sees && Some(*connection) != except && member.offer(&event) {
                self.delivered += 1;
            }
        }
    }

    /// Tells the other users who is typing.
    fn announce(&mut self, announce: &Announce) {
        let event = Outgoing::notice("typing", &announce.event(&self.name));
        for member in self.members.values_mut() {
            if member.user != announce.user && member.offer(&event) {
                self.delivered += 1;
            }
        }
    }
}

impl Member {
    /// Notes that a live member is not to get this event, now or later.
    fn pass_over(&mut self, event: &Outgoing) {
        if let (Stage::Live { after }, Some(seq)) = (&mut self.stage, event.seq()) {
            *after = seq.max(*after);
        }
    }

    /// Pushes or holds the event; true if it was pushed.
    fn offer(&mut self, event: &Arc<Outgoing>) -> bool {
        match &mut self.stage {
            Stage::Live { after } => {
                if let Some(seq) = event.seq() {
                    if seq <= *after {
                        return false;
                    }
                    *after = seq;
                }
                self.outlet.push(event);
                true
            }
            Stage::Reading(held) => {
                held.hold(event);
                false
            }
        }
    }
}

impl Held {
    fn hold(&mut self, event: &Arc<Outgoing>) {
        if self.overflowed && event.seq().is_some() {
            return;
        }
        if !self.fits(event) {
            self.overflowed = true;
            // Messages are in the log. Nowhere else is who came or went meanwhile, so that stays as far as it fits.
            self.events.retain(|held| held.seq().is_none());
            self.bytes = self.events.iter().map(|held| held.cost()).sum();
            if event.seq().is_some() {
                return;
            }
            if !self.fits(event) {
                *self = Self {
                    overflowed: true,
                    ..Self::default()
                };
            }
        }
        self.bytes += event.cost();
        self.events.push(event.clone());
    }

    fn fits(&self, event: &Outgoing) -> bool {
        self.events.len() < HELD_EVENTS && self.bytes + event.cost() <= HELD_BYTES
    }
}
