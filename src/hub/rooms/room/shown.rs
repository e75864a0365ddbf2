//! What the members of a room are shown of its users: who comes and goes and how each is, who types, how far each has read.
//!
//! All of it is charged to the user it is about, by the deliveries that it costs ([`FanOut`](super::super::fan_out)). What is over
//! its budget is told later, when only the newest counts.

use super::{super::pending_updates::Waiting, *};

/// How many users that have gone may be remembered as readers, besides as many as are here.
pub(in crate::hub) const READERS: usize = 64;

/// In a crowded room a marker is looked for among all members and given to few: that costs so much less than giving it to all.
const LOOKED_AT_FOR_ONE: usize = 10;

/// Which members are told.
#[derive(Clone, Copy, Debug)]
enum Recipients {
    All,
    /// Those who were given a list of users at this time or later.
    ListedSince(Instant),
    /// The others.
    NotListedSince(Instant),
}

impl Recipients {
    fn include(self, member: &Member) -> bool {
        let since = |time| member.listed.is_some_and(|listed| listed >= time);
        match self {
            Self::All => true,
            Self::ListedSince(time) => since(time),
            Self::NotListedSince(time) => !since(time),
        }
    }
}

impl Room {
    /// A member has joined for good: the others are told if its user was not here. Answers what the user said on another node, if
    /// that was later than what it comes with.
    pub(in crate::hub) fn appear(
        &mut self,
        connection: ConnectionId,
        who: Arrival,
        now: Instant,
        ts: Timestamp,
    ) -> Option<Word> {
        // One that was taken out meanwhile would stay for ever: nobody takes it out again.
        if !self.members.contains_key(&connection) {
            return None;
        }
        let (user, said) = (who.user.clone(), who.stance.changed);
        if let Some(change) = self.presence.enter(connection, who, ts) {
            match self.knows_all() || change.kind != ChangeKind::Join {
                true => self.tell(change, Some(connection), now, ts),
                false => self.newcomers.push((connection, change)),
            }
        }
        let entry = self.presence.entry(&user)?;
        (entry.changed > said).then(|| Word::from(entry))
    }

    /// Shows how a user is, to everybody but `except`: they are told now, or no sooner than `told_at`.
    pub(in crate::hub) fn update(
        &mut self,
        user: &UserId,
        stance: Stance,
        except: Option<ConnectionId>,
        (now, told_at): (Instant, Option<Instant>),
        ts: Timestamp,
    ) {
        if let Some(change) = self.presence.update(user, stance) {
            self.tell_at(change, except, (now, told_at), ts);
        }
    }

    /// A member says that it is typing, or that it is not.
    pub(in crate::hub) fn types(
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
        self.starts_typing(connection, user, name.clone(), now);
        if self.typing.tells(connection, user, now) {
            self.notices.push(Notice::Typing {
                connection,
                user: user.clone(),
                name,
                typing,
            });
        }
    }

    fn starts_typing(
        &mut self,
        connection: ConnectionId,
        user: &UserId,
        name: Option<Arc<str>>,
        now: Instant,
    ) {
        let Some(announce) = self.typing.start(connection, user, name, now) else {
            return;
        };
        match self.fan_out.when(user, now) {
            None => self.announce(&announce, now),
            Some(at) => {
                self.put_off += 1;
                self.typing.put_off(user, at);
            }
        }
    }

    pub(in crate::hub) fn stops_typing(
        &mut self,
        connection: ConnectionId,
        user: &UserId,
        now: Instant,
    ) {
        if self.typing.has(connection, user) {
            self.notices.push(Notice::Typing {
                connection,
                user: user.clone(),
                name: None,
                typing: false,
            });
        }
        if let Some(announce) = self.typing.stop(connection, user, now) {
            self.announce(&announce, now);
        }
    }

    /// Tells the others how far a user has read, unless they know of further. In a crowded room only the user's own connections
    /// are told.
    pub(in crate::hub) fn has_read(
        &mut self,
        user: &UserId,
        seq: Seq,
        by: Option<ConnectionId>,
        now: Instant,
    ) {
        if self.readers.count() > 2 * self.presence.count() + READERS {
            // Most may have come and gone on other nodes.
            self.readers.retain(|user| self.presence.has(user));
        }
        let user = user.clone();
        let Some(read) = self.readers.take(Read { user, seq, by }) else {
            return;
        };
        let mut cost = self.members.len();
        if self.is_crowded() {
            cost /= LOOKED_AT_FOR_ONE;
        }
        match self.fan_out.take(&read.user, cost, now) {
            None => self.tell_read(read),
            Some(at) => {
                self.put_off += 1;
                self.readers.put_off(read, at);
            }
        }
    }

    fn tell_read(&mut self, read: Read) {
        let Read { user, seq, by } = read;
        let told = json!({ "room": self.name, "user": user, "seq": seq });
        let event = Outgoing::room_notice("read", &self.name, &told);
        let crowded = self.is_crowded();
        for (connection, member) in &self.members {
            let concerns = !crowded || member.user == user;
            if concerns && Some(*connection) != by && member.offer(&self.name, &event) {
                self.delivered += 1;
            }
        }
        if by.is_some() {
            self.notices.push(Notice::Read { user, seq });
        }
    }

    /// Takes what other nodes say of the room, and tells the members.
    pub(in crate::hub) fn hear(&mut self, said: RemoteEvent, now: Instant, ts: Timestamp) {
        // What is known from the beginning is no news: whoever joins waits for it.
        let is_news = self.knows_all();
        let changes = match said {
            RemoteEvent::Snapshot(entries) => {
                self.strange = None;
                let before: HashSet<_> = entries.iter().map(|(_, user, _)| user.clone()).collect();
                let changes = self.presence.all(entries);
                self.welcome(|user| !before.contains(user), now, ts);
                changes
            }
            RemoteEvent::UserChanged(node, user, entry) => {
                let change = self.presence.elsewhere(node, &user, entry);
                change.into_iter().collect()
            }
            RemoteEvent::NodeLeft(node) => self.presence.gone(node),
            RemoteEvent::Notice(notice) => return self.notice(notice, now),
        };
        for change in changes.into_iter().filter(|_| is_news) {
            self.tell(change, None, now, ts);
        }
    }

    fn notice(&mut self, notice: Notice, now: Instant) {
        match notice {
            Notice::Typing {
                connection,
                user,
                name,
                typing: true,
            } => self.starts_typing(connection, &user, name, now),
            Notice::Typing {
                connection, user, ..
            } => {
                if let Some(announce) = self.typing.stop(connection, &user, now) {
                    self.announce(&announce, now);
                }
            }
            Notice::Read { user, seq } => self.has_read(&user, seq, None, now),
            // Concerns the user and no room.
            Notice::Status { .. } => {}
        }
    }

    /// Whoever is found to be here on other nodes is news from now on.
    pub(in crate::hub) fn give_up_waiting(&mut self, now: Instant, ts: Timestamp) {
        self.strange = None;
        self.welcome(|_| true, now, ts);
    }

    /// Tells of those who came while it was not known who is here, as far as they are new.
    fn welcome(&mut self, is_new: impl Fn(&UserId) -> bool, now: Instant, ts: Timestamp) {
        for (connection, mut change) in std::mem::take(&mut self.newcomers) {
            if self.presence.has(&change.user) && is_new(&change.user) && !self.is_crowded() {
                change.count = self.count();
                self.tell(change, Some(connection), now, ts);
            }
        }
    }

    /// Tells one member who is typing.
    pub(in crate::hub) fn tell_typists(&mut self, connection: ConnectionId, now: Instant) {
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

    /// A member is being given a list of who is here.
    pub(in crate::hub) fn lists_for(&mut self, connection: ConnectionId, now: Instant) {
        if let Some(member) = self.members.get_mut(&connection) {
            member.listed = Some(now);
            let presence = &self.presence;
            self.untold.lists(|user| presence.shown(user).is_some());
        }
    }

    /// Does what is due: users leave whose grace is over, whoever stopped typing is told of, and whatever was put off.
    pub(in crate::hub) fn look_after(&mut self, now: Instant, ts: Timestamp) {
        for change in self.presence.expire(now) {
            self.tell(change, None, now, ts);
        }
        while let Some((user, waiting)) = self.untold.take_due(now) {
            if !self.is_crowded() {
                self.tell_outcome(&user, &waiting, ts);
            }
        }
        while let Some(read) = self.readers.take_due(now) {
            self.tell_read(read);
        }
        for announce in self.typing.due(now) {
            self.announce(&announce, now);
        }
        if self.watchers_end().is_some_and(|end| end <= now) {
            self.watchers = None;
        }
    }

    /// When nobody has polled for so long that nothing is kept for those who do.
    fn watchers_end(&self) -> Option<Instant> {
        self.watchers.as_ref()?.ends()
    }

    /// When there is something to [`look_after`](Self::look_after) next.
    pub(in crate::hub) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.presence.next_deadline(),
            self.typing.next_deadline(),
            self.untold.next_deadline(),
            self.readers.next_deadline(),
            self.watchers_end(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Lets a user leave whose grace time is still running. The others are told at once, whatever its budget: it is not the user
    /// who wants this.
    pub(in crate::hub) fn dismiss(&mut self, user: &UserId, ts: Timestamp) {
        if let Some(change) = self.presence.dismiss(user) {
            match self.untold.take(user) {
                Some(waiting) => self.tell_outcome(user, &waiting, ts),
                None => self.tell_now(&change, None, Recipients::All, ts),
            }
        }
    }

    /// Tells what has become of a user of whom something waited.
    fn tell_outcome(&mut self, user: &UserId, waiting: &Waiting, ts: Timestamp) {
        let shown = self.presence.shown(user);
        let outcome = waiting.outcome(shown.is_some());
        let profile = shown.unwrap_or_else(|| waiting.profile().clone());
        let told = [
            (outcome.listed, Recipients::ListedSince(waiting.since)),
            (outcome.others, Recipients::NotListedSince(waiting.since)),
        ];
        for (kind, to) in told {
            if let Some(kind) = kind {
                let change = self.change(kind, user, profile.clone());
                self.tell_now(&change, waiting.except, to, ts);
            }
        }
    }

    fn change(&self, kind: ChangeKind, user: &UserId, profile: Profile) -> Change {
        Change {
            kind,
            user: user.clone(),
            profile,
            count: self.count(),
        }
    }

    /// Tells the members who may see it, but not `except`, of a user; later, if the user is over its budget.
    pub(in crate::hub) fn tell(
        &mut self,
        change: Change,
        except: Option<ConnectionId>,
        now: Instant,
        ts: Timestamp,
    ) {
        self.tell_at(change, except, (now, None), ts);
    }

    fn tell_at(
        &mut self,
        change: Change,
        except: Option<ConnectionId>,
        (now, told_at): (Instant, Option<Instant>),
        ts: Timestamp,
    ) {
        let Some(change) = self.untold.absorb(change, except) else {
            return;
        };
        let affordable = self.fan_out.take(&change.user, self.members.len(), now);
        match affordable.max(told_at) {
            None => self.tell_now(&change, except, Recipients::All, ts),
            Some(at) => {
                self.put_off += 1;
                self.untold.put(change, except, now, at);
            }
        }
    }

    /// As [`tell`](Self::tell), at once.
    fn tell_now(
        &mut self,
        change: &Change,
        except: Option<ConnectionId>,
        to: Recipients,
        ts: Timestamp,
    ) {
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
            let concerns = member.sees && Some(*connection) != except && to.include(member);
            if concerns && member.offer(&self.name, &event) {
                self.delivered += 1;
            }
        }
    }

    /// Tells the other users who is typing.
    pub(in crate::hub) fn announce(&mut self, announce: &Announce, now: Instant) {
        self.fan_out.charge(&announce.user, self.members.len(), now);
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

#[cfg(test)]
mod tests;
