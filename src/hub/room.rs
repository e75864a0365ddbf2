//! One room of this node: its members, who of them is shown, who is typing.
//!
//! Given the time, never awaits; [`Rooms`](super::rooms::Rooms) holds it under a mutex. It gives everything to its
//! members' [`Feed`]s, which know when each connection can take it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::Shared};
use indexmap::IndexMap;
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::{
    connection::Connection,
    event::{Event, Outgoing},
    feed::Feed,
    presence::{Arrival, Change, ChangeKind, Page, Presence},
    profile::{Stance, Word},
    typing::{Announce, Typing},
};
use crate::{
    auth::Permission,
    backend::{Elsewhere, Following, Nodes, Notice},
    model::{ConnectionId, Offset, RoomKey, RoomName, Seq, Timestamp, UserId},
};

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

/// How many users that have gone may be remembered as readers, besides as many as are here.
const READERS: usize = 64;

/// A room with its members.
pub(super) struct Room {
    name: RoomName,
    /// Ready when whatever is stored from then on is delivered to it.
    followed: Shared<Following>,
    members: IndexMap<ConnectionId, Member>,
    presence: Presence,
    typing: Typing,
    /// Told of every message, without being members.
    watchers: Option<Watchers>,
    /// How far the members were told that users have read; of users that have gone nothing has to be known.
    told_read: HashMap<UserId, Seq>,
    /// Who is here on other nodes is not known yet; dropped when it is. `None` where there are no others.
    strange: Option<watch::Sender<()>>,
    /// Who came meanwhile, by a session from before: whoever is here on another node as well is no news.
    newcomers: Vec<(ConnectionId, Change)>,
    /// To be told to other nodes by whoever holds the room.
    notices: Vec<Notice>,
    /// When it is to be looked after next, as far as that was asked for.
    pub(super) scheduled: Option<Instant>,
    /// Events handed to members, to be counted by whoever holds the room.
    pub(super) delivered: u64,
    /// How many users are here on this node and how many type, as it was last counted.
    pub(super) counted: (usize, usize),
    /// It was over and has been dropped: whoever still comes to it comes too late.
    pub(super) dropped: bool,
}

struct Member {
    feed: Arc<Feed>,
    user: UserId,
    /// May be told who is here.
    sees: bool,
    /// Messages up to this offset are in the answer to its join, or before it.
    after: Offset,
}

/// Those who wait for the next message of a room.
#[derive(Default)]
struct Watchers {
    count: usize,
    told: Arc<Notify>,
}

/// What became of a member's place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// It is a member from now on.
    New,
    /// It was one before.
    Before,
    /// Its connection has ended.
    Gone,
}

impl Room {
    /// A room whose other members may be on other nodes if it is `shared`.
    pub(super) fn new(name: RoomName, manners: Manners, followed: Following, shared: bool) -> Self {
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
            told_read: HashMap::new(),
            scheduled: None,
            delivered: 0,
            counted: (0, 0),
            dropped: false,
        }
    }

    /// Ready when whatever is stored from then on is delivered to it; fails if that takes longer, and is waited for `again` by
    /// whoever asks after that.
    pub(super) fn followed(&mut self, again: impl FnOnce() -> Following) -> Shared<Following> {
        if matches!(self.followed.peek(), Some(Err(_))) {
            self.followed = again().shared();
        }
        self.followed.clone()
    }

    /// Makes a connection a member. One that takes the place of another with the same id goes on as that member.
    pub(super) fn place(&mut self, connection: &Connection) -> Placed {
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
            after: Offset(0),
        };
        self.members.insert(connection.id(), member);
        Placed::New
    }

    /// The answer to a member's join holds everything up to `read`: that is not given again.
    pub(super) fn joined(&mut self, connection: ConnectionId, read: Offset) {
        if let Some(member) = self.members.get_mut(&connection) {
            member.after = member.after.max(read);
        }
    }

    /// Notes what a member may see now that its identity was replaced.
    pub(super) fn refreshed(&mut self, connection: &Connection) {
        if let Some(member) = self.members.get_mut(&connection.id()) {
            member.sees = connection.principal().may(Permission::Presence, &self.name);
        }
    }

    /// A member has joined for good: the others are told if its user was not here. Answers what the user said on another node, if
    /// that was later than what it comes with.
    pub(super) fn appear(
        &mut self,
        connection: ConnectionId,
        who: Arrival,
        ts: Timestamp,
    ) -> Option<Word> {
        // One that was taken out meanwhile would stay for ever: nobody takes it out again.
        if !self.members.contains_key(&connection) {
            return None;
        }
        let (user, said) = (who.user.clone(), who.stance.changed);
        if let Some(change) = self.presence.enter(connection, who, ts) {
            match self.knows_all() || change.kind != ChangeKind::Join {
                true => self.tell(&change, Some(connection), ts),
                false => self.newcomers.push((connection, change)),
            }
        }
        let entry = self.presence.entry(&user)?;
        (entry.changed > said).then(|| Word::from(entry))
    }

    /// Ends a membership; true if there was one, and it was not taken over.
    pub(super) fn remove(&mut self, connection: &Connection, now: Instant, ts: Timestamp) -> bool {
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
            self.tell(&change, None, ts);
        }
        self.stops_typing(id, &user, now);
        true
    }

    /// Shows how a user is, to everybody but `except`.
    pub(super) fn update(
        &mut self,
        user: &UserId,
        stance: Stance,
        except: Option<ConnectionId>,
        ts: Timestamp,
    ) {
        if let Some(change) = self.presence.update(user, stance) {
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
        if !typing {
            return self.stops_typing(connection, user, now);
        }
        if let Some(announce) = self.typing.start(connection, user, name.clone(), now) {
            self.announce(&announce);
        }
        if self.typing.tells(connection, user, now) {
            self.notices.push(Notice::Typing {
                connection,
                user: user.clone(),
                name,
                typing,
            });
        }
    }

    fn stops_typing(&mut self, connection: ConnectionId, user: &UserId, now: Instant) {
        if self.typing.has(connection, user) {
            self.notices.push(Notice::Typing {
                connection,
                user: user.clone(),
                name: None,
                typing: false,
            });
        }
        if let Some(announce) = self.typing.stop(connection, user, now) {
            self.announce(&announce);
        }
    }

    /// Tells the others how far a user has read, unless they know of further: marks that are set by several connections
    /// at once can come here in any order. In a crowded room only the user's own connections are told.
    pub(super) fn has_read(&mut self, user: &UserId, seq: Seq, except: ConnectionId) {
        if self.tell_read(user, seq, Some(except)) {
            let user = user.clone();
            self.notices.push(Notice::Read { user, seq });
        }
    }

    /// True if that is news.
    fn tell_read(&mut self, user: &UserId, seq: Seq, except: Option<ConnectionId>) -> bool {
        self.forget_readers();
        let told = self.told_read.entry(user.clone()).or_default();
        if *told >= seq {
            return false;
        }
        *told = seq;
        let told = json!({ "room": self.name, "user": user, "seq": seq });
        let event = Outgoing::room_notice("read", &self.name, &told);
        let crowded = self.is_crowded();
        for (connection, member) in &self.members {
            let concerns = !crowded || member.user == *user;
            if concerns && Some(*connection) != except && member.offer(&self.name, &event) {
                self.delivered += 1;
            }
        }
        true
    }

    /// Takes what other nodes say of the room, and tells the members.
    pub(super) fn hear(&mut self, said: Elsewhere, now: Instant, ts: Timestamp) {
        // What is known from the beginning is no news: whoever joins waits for it.
        let is_news = self.knows_all();
        let changes = match said {
            Elsewhere::Present(entries) => {
                self.strange = None;
                let before: HashSet<_> = entries.iter().map(|(_, user, _)| user.clone()).collect();
                let changes = self.presence.all(entries);
                self.welcome(|user| !before.contains(user), ts);
                changes
            }
            Elsewhere::User(node, user, entry) => {
                let change = self.presence.elsewhere(node, &user, entry);
                change.into_iter().collect()
            }
            Elsewhere::Gone(node) => self.presence.gone(node),
            Elsewhere::Notice(notice) => return self.notice(notice, now),
        };
        for change in changes.iter().filter(|_| is_news) {
            self.tell(change, None, ts);
        }
    }

    fn notice(&mut self, notice: Notice, now: Instant) {
        match notice {
            Notice::Typing {
                connection,
                user,
                name,
                typing,
            } => {
                let announce = match typing {
                    true => self.typing.start(connection, &user, name, now),
                    false => self.typing.stop(connection, &user, now),
                };
                if let Some(announce) = announce {
                    self.announce(&announce);
                }
            }
            Notice::Read { user, seq } => {
                self.tell_read(&user, seq, None);
            }
            // Concerns the user and no room.
            Notice::Status { .. } => {}
        }
    }

    /// Tells other nodes what they have to know of what has happened here. In the room's lock, so that they are told in order.
    pub(super) fn tell_nodes(&mut self, room: &RoomKey, nodes: Option<&dyn Nodes>) {
        let noted = self.presence.take_noted();
        let Some(nodes) = nodes else {
            self.notices.clear();
            return;
        };
        for (user, entry) in noted {
            nodes.note(room, &user, entry);
        }
        for notice in self.notices.drain(..) {
            nodes.tell(room, notice);
        }
    }

    /// Ready, with an error, when it is known who is here on other nodes; `None` if it is.
    pub(super) fn strange(&self) -> Option<watch::Receiver<()>> {
        self.strange.as_ref().map(watch::Sender::subscribe)
    }

    /// Whether it is known who is here on other nodes.
    pub(super) fn knows_all(&self) -> bool {
        self.strange.is_none()
    }

    /// Whoever is found to be here on other nodes is news from now on.
    pub(super) fn give_up_waiting(&mut self, ts: Timestamp) {
        self.strange = None;
        self.welcome(|_| true, ts);
    }

    /// Tells of those who came while it was not known who is here, as far as they are new.
    fn welcome(&mut self, is_new: impl Fn(&UserId) -> bool, ts: Timestamp) {
        for (connection, mut change) in std::mem::take(&mut self.newcomers) {
            if self.presence.has(&change.user) && is_new(&change.user) && !self.is_crowded() {
                change.count = self.count();
                self.tell(&change, Some(connection), ts);
            }
        }
    }

    /// Tells one member who is typing.
    pub(super) fn tell_typists(&mut self, connection: ConnectionId, now: Instant) {
        let announces = self.typing.now_typing(now);
        let Some(member) = self.members.get(&connection) else {
            return;
        };
        for announce in announces {
            if announce.user != member.user {
                let event = self.announcement(&announce);
                self.delivered += u64::from(member.offer(&self.name, &event));
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
    }

    /// Forgets how far users have read that have gone, once they are many. Most may have come and gone on other nodes.
    fn forget_readers(&mut self) {
        if self.told_read.len() > 2 * self.presence.count() + READERS {
            self.told_read.retain(|user, _| self.presence.has(user));
        }
    }

    /// Lets a user leave whose grace time is still running.
    pub(super) fn dismiss(&mut self, user: &UserId, ts: Timestamp) {
        if let Some(change) = self.presence.dismiss(user) {
            self.tell(&change, None, ts);
        }
    }

    /// When there is something to [`look_after`](Self::look_after) next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.presence.next_deadline(), self.typing.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Whether there is nothing to keep of it; who is here on other nodes can be heard again.
    pub(super) fn is_over(&self) -> bool {
        self.members.is_empty() && self.presence.own_count() == 0 && self.watchers.is_none()
    }

    /// One more watches: what is notified with every message from now on.
    pub(super) fn watch(&mut self) -> Arc<Notify> {
        let watchers = self.watchers.get_or_insert_default();
        watchers.count += 1;
        watchers.told.clone()
    }

    /// One of those watches no more.
    pub(super) fn unwatch(&mut self) {
        if let Some(watchers) = &mut self.watchers {
            watchers.count -= 1;
            if watchers.count == 0 {
                self.watchers = None;
            }
        }
    }

    /// Delivers to every member but `except`.
    pub(super) fn deliver(&mut self, event: &Arc<Outgoing>, except: Option<ConnectionId>) {
        for (connection, member) in &self.members {
            if Some(*connection) != except && member.offer(&self.name, event) {
                self.delivered += 1;
            }
        }
        let Event::Message(message) = event.event() else {
            return;
        };
        if let Some(watchers) = &self.watchers {
            watchers.told.notify_waiters();
        }
        if let Some(from) = &message.from
            && let Some(announce) = self.typing.sent(&from.user)
        {
            self.announce(&announce);
        }
    }

    /// How many users are here on this node and how many type, for as long as it is not dropped.
    pub(super) fn counts(&self) -> (usize, usize) {
        if self.dropped {
            return (0, 0);
        }
        (self.presence.own_count(), self.typing.count())
    }

    /// Whether so many users type that this one would not be told of.
    pub(super) fn refuses_typist(&self, user: &UserId) -> bool {
        self.typing.refuses(user)
    }

    /// How many users are here.
    pub(super) fn count(&self) -> usize {
        self.presence.count()
    }

    /// Whether anybody is here, or has only just gone; whoever waits for messages without being a member is not.
    pub(super) fn is_inhabited(&self) -> bool {
        !self.members.is_empty() || self.presence.count() > 0
    }

    /// How many connections are here.
    pub(super) fn connections(&self) -> usize {
        let elsewhere = self.presence.connections_elsewhere();
        elsewhere.saturating_add(self.members.len())
    }

    /// How many users are here. A personal room shows nobody, and is one user's.
    pub(super) fn users(&self) -> usize {
        let personal = self.name.is_personal() && !self.members.is_empty();
        self.count().max(usize::from(personal))
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
        let told = change.event(&self.name, ts);
        let event = match change.kind {
            ChangeKind::Update => {
                Outgoing::newest_notice("presence", &self.name, &change.user, &told)
            }
            // Whoever is told of one of these alone would count wrong.
            ChangeKind::Join | ChangeKind::Leave => {
                Outgoing::room_notice("presence", &self.name, &told)
            }
        };
        for (connection, member) in &self.members {
            if member.sees && Some(*connection) != except && member.offer(&self.name, &event) {
                self.delivered += 1;
            }
        }
    }

    /// Tells the other users who is typing.
    fn announce(&mut self, announce: &Announce) {
        let event = self.announcement(announce);
        for member in self.members.values() {
            if member.user != announce.user && member.offer(&self.name, &event) {
                self.delivered += 1;
            }
        }
    }

    fn announcement(&self, announce: &Announce) -> Arc<Outgoing> {
        let told = announce.event(&self.name);
        Outgoing::newest_notice("typing", &self.name, &announce.user, &told)
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

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
