//! One room of this node: its members, who of them is shown, who is typing.
//!
//! Given the time, never awaits; [`Rooms`](super::registry::Rooms) holds it under a mutex. It gives everything to its
//! members' [`Subscriber`]s, which know when each connection can take it.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::Shared};
use indexmap::IndexMap;
use serde_json::json;
use tokio::sync::watch;

use super::{
    fan_out::FanOut,
    pending_updates::Untold,
    poll_buffer::{Watched, Watchers},
    presence::{Arrival, Change, ChangeKind, Page, Presence},
    read_markers::{Read, Readers},
    typing::{Announce, Typing},
    user_status::{Profile, Stance, Word},
};
use crate::{
    auth::Permission,
    backend::{ClusterNodes, Notice, RemoteEvent, Subscribing},
    hub::{
        connections::Connection,
        connections::Subscriber,
        event::{Event, Outgoing},
    },
    model::{ConnectionId, Offset, RoomKey, RoomName, Seq, Timestamp, UserId},
};

/// How rooms treat their members.
#[derive(Clone, Debug)]
pub(in crate::hub) struct Manners {
    /// How long a user without a connection stays.
    pub(in crate::hub) grace: Duration,
    /// Users beyond which nothing is told of single ones.
    pub(in crate::hub) room_users: usize,
    /// How long somebody is typing who says so once.
    pub(in crate::hub) typing: Duration,
    /// Users who can be typing at once.
    pub(in crate::hub) typists: usize,
    /// What it may cost that users show themselves, over all rooms.
    pub(in crate::hub) fan_out: Arc<FanOut>,
}

/// A room with its members.
pub(in crate::hub) struct Room {
    name: RoomName,
    /// Ready when whatever is stored from then on is delivered to it.
    followed: Shared<Subscribing>,
    members: IndexMap<ConnectionId, Member>,
    presence: Presence,
    typing: Typing,
    /// Those who poll, without being members.
    watchers: Option<Watchers>,
    /// How far the members were told that users have read; of users that have gone nothing has to be known.
    readers: Readers,
    /// Users whose changes are told later.
    untold: Untold,
    fan_out: Arc<FanOut>,
    /// Who is here on other nodes is not known yet; dropped when it is. `None` where there are no others.
    strange: Option<watch::Sender<()>>,
    /// Who came meanwhile, by a session from before: whoever is here on another node as well is no news.
    newcomers: Vec<(ConnectionId, Change)>,
    /// To be told to other nodes by whoever holds the room.
    notices: Vec<Notice>,
    /// When it is to be looked after next, as far as that was asked for.
    pub(in crate::hub) scheduled: Option<Instant>,
    /// Events handed to members, to be counted by whoever holds the room.
    pub(in crate::hub) delivered: u64,
    /// Times that something is told later than it happened, to be counted by whoever holds the room.
    pub(in crate::hub) put_off: u64,
    /// How many users are here on this node and how many type, as it was last counted.
    pub(in crate::hub) counted: (usize, usize),
    /// It was over and has been dropped: whoever still comes to it comes too late.
    pub(in crate::hub) dropped: bool,
}

struct Member {
    feed: Arc<Subscriber>,
    user: UserId,
    /// May be told who is here.
    sees: bool,
    /// When it was given a list of who is here.
    listed: Option<Instant>,
    /// Messages up to this offset are in the answer to its join, or before it.
    after: Offset,
}

/// What became of a member's place.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::hub) enum Placed {
    /// It is a member from now on.
    New,
    /// It was one before.
    Before,
    /// Its connection has ended.
    Gone,
}

impl Room {
    /// A room whose other members may be on other nodes if it is `shared`.
    pub(in crate::hub) fn new(
        name: RoomName,
        manners: Manners,
        followed: Subscribing,
        shared: bool,
    ) -> Self {
        let strange = shared && !name.is_personal();
        Self {
            strange: strange.then(|| watch::Sender::new(())),
            newcomers: Vec::new(),
            notices: Vec::new(),
            name,
            followed: followed.shared(),
            members: IndexMap::new(),
            presence: Presence::new(manners.grace, manners.room_users),
            typing: Typing::new(manners.typing, manners.typists),
            watchers: None,
            readers: Readers::default(),
            untold: Untold::default(),
            fan_out: manners.fan_out,
            scheduled: None,
            delivered: 0,
            put_off: 0,
            counted: (0, 0),
            dropped: false,
        }
    }

    /// Ready when whatever is stored from then on is delivered to it; fails if that takes longer, and is waited for `again` by
    /// whoever asks after that.
    pub(in crate::hub) fn followed(
        &mut self,
        again: impl FnOnce() -> Subscribing,
    ) -> Shared<Subscribing> {
        if matches!(self.followed.peek(), Some(Err(_))) {
            self.followed = again().shared();
        }
        self.followed.clone()
    }

    /// Makes a connection a member. One that takes the place of another with the same id goes on as that member.
    pub(in crate::hub) fn place(&mut self, connection: &Connection) -> Placed {
        let feed = connection.feed();
        if feed.is_over() {
            return Placed::Gone;
        }
        let principal = connection.principal();
        let sees = principal.may(Permission::Presence, &self.name);
        if let Some(member) = self.members.get_mut(&connection.id()) {
            member.sees = sees;
            member.feed = feed.clone();
            return Placed::Before;
        }
        let member = Member {
            feed: feed.clone(),
            user: principal.user.clone(),
            sees,
            listed: None,
            after: Offset(0),
        };
        self.members.insert(connection.id(), member);
        Placed::New
    }

    /// The answer to a member's join holds everything up to `read`: that is not given again.
    pub(in crate::hub) fn joined(&mut self, connection: ConnectionId, read: Offset) {
        if let Some(member) = self.members.get_mut(&connection) {
            member.after = member.after.max(read);
        }
    }

    /// Notes what a member may see now that its identity was replaced.
    pub(in crate::hub) fn refreshed(&mut self, connection: &Connection) {
        if let Some(member) = self.members.get_mut(&connection.id()) {
            member.sees = connection.principal().may(Permission::Presence, &self.name);
        }
    }

    /// Ends a membership; true if there was one, and it was not taken over.
    pub(in crate::hub) fn remove(
        &mut self,
        connection: &Connection,
        now: Instant,
        ts: Timestamp,
    ) -> bool {
        let id = connection.id();
        let Some(member) = self.members.get(&id) else {
            return false;
        };
        if !Arc::ptr_eq(&member.feed, connection.feed()) {
            return false;
        }
        let user = member.user.clone();
        self.members.swap_remove(&id);
        if let Some(change) = self.presence.leave(id, now) {
            self.tell(change, None, now, ts);
        }
        self.stops_typing(id, &user, now);
        true
    }

    /// Tells other nodes what they have to know of what has happened here. In the room's lock, so that they are told in order. Of a
    /// user whose change the members here are told later they are told then, too, for as long as there is a room.
    pub(in crate::hub) fn tell_nodes(&mut self, room: &RoomKey, nodes: Option<&dyn ClusterNodes>) {
        let (untold, over) = (&self.untold, self.is_over());
        let noted = self.presence.take_noted(|user| over || !untold.has(user));
        let Some(nodes) = nodes else {
            self.notices.clear();
            return;
        };
        for (user, entry) in noted {
            nodes.set_presence(room, &user, entry);
        }
        for notice in self.notices.drain(..) {
            nodes.notify(room, notice);
        }
    }

    /// Ready, with an error, when it is known who is here on other nodes; `None` if it is.
    pub(in crate::hub) fn strange(&self) -> Option<watch::Receiver<()>> {
        self.strange.as_ref().map(watch::Sender::subscribe)
    }

    /// Whether it is known who is here on other nodes.
    pub(in crate::hub) fn knows_all(&self) -> bool {
        self.strange.is_none()
    }

    /// Whether there is nothing to keep of it; who is here on other nodes can be heard again.
    pub(in crate::hub) fn is_over(&self) -> bool {
        self.members.is_empty() && self.presence.own_count() == 0 && self.watchers.is_none()
    }

    /// One more polls: what is kept for all who do.
    pub(in crate::hub) fn watch(&mut self) -> Arc<Watched> {
        self.watchers.get_or_insert_default().add()
    }

    /// One of those polls no more.
    pub(in crate::hub) fn unwatch(&mut self, now: Instant) {
        if let Some(watchers) = &mut self.watchers {
            watchers.remove(now);
        }
    }

    /// Delivers to every member but `except`.
    pub(in crate::hub) fn deliver(
        &mut self,
        event: &Arc<Outgoing>,
        except: Option<ConnectionId>,
        now: Instant,
    ) {
        for (connection, member) in &self.members {
            if Some(*connection) != except && member.offer(&self.name, event) {
                self.delivered += 1;
            }
        }
        let Event::Message(message) = event.event() else {
            return;
        };
        if let Some(watchers) = &self.watchers {
            watchers.tell(message);
        }
        if let Some(from) = &message.from
            && let Some(announce) = self.typing.sent(&from.user)
        {
            self.announce(&announce, now);
        }
    }

    /// How many users are here on this node and how many type, for as long as it is not dropped.
    pub(in crate::hub) fn counts(&self) -> (usize, usize) {
        if self.dropped {
            return (0, 0);
        }
        (self.presence.own_count(), self.typing.count())
    }

    /// Whether so many users type that this one would not be told of.
    pub(in crate::hub) fn refuses_typist(&self, user: &UserId) -> bool {
        self.typing.refuses(user)
    }

    /// How many users are here.
    pub(in crate::hub) fn count(&self) -> usize {
        self.presence.count()
    }

    /// Whether anybody is here, or has only just gone; whoever waits for messages without being a member is not.
    pub(in crate::hub) fn is_inhabited(&self) -> bool {
        !self.members.is_empty() || self.presence.count() > 0
    }

    /// How many connections are here.
    pub(in crate::hub) fn connections(&self) -> usize {
        let elsewhere = self.presence.connections_elsewhere();
        elsewhere.saturating_add(self.members.len())
    }

    /// How many users are here. A personal room shows nobody, and is one user's.
    pub(in crate::hub) fn users(&self) -> usize {
        let personal = self.name.is_personal() && !self.members.is_empty();
        self.count().max(usize::from(personal))
    }

    /// Whether nothing is told of single users.
    pub(in crate::hub) fn is_crowded(&self) -> bool {
        self.presence.is_crowded()
    }

    /// Some of the users, in the order of their ids.
    pub(in crate::hub) fn page(&self, after: Option<&UserId>, limit: usize) -> Page {
        self.presence.page(after, limit)
    }
}

impl Member {
    /// Gives the event to the member's connection, unless the answer to its join holds it; true if it is given, now or
    /// later.
    fn offer(&self, room: &RoomName, event: &Arc<Outgoing>) -> bool {
        let answered = event.offset().is_some_and(|offset| offset <= self.after);
        !answered && self.feed.push(room, event)
    }
}

mod shown;

#[cfg(test)]
mod tests;
