//! What this node has of users in rooms, and what of that is still to be written into Redis.
//!
//! A change waits in the order of its first call, with what was said last; a user that has come and gone before anything was
//! written leaves nothing behind. So however long Redis is away, what waits is bounded by what is here and what was stored.
//! Each part is a list of its own, because each may be away alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    backend::redis::keys::{PARTS, Part},
    model::{Pid, RoomKey, UserId},
};

/// How many changes are taken together, and how many notices may wait.
const BATCH: usize = 512;
const NOTICES: usize = 1024;

#[derive(Default)]
pub(in crate::backend::redis) struct Book {
    parts: [Chapter; PARTS as usize],
    // A std mutex, as those below: held for a look, and never across an await.
    sessions: Mutex<HashSet<Pid>>,
}

/// What belongs to one part.
#[derive(Default)]
struct Chapter {
    lists: Mutex<Lists>,
    new: Notify,
}

#[derive(Default)]
struct Lists {
    rooms: HashMap<RoomKey, HashMap<UserId, Entry>>,
    /// Changes to write, in the order of calls.
    queue: BTreeMap<u64, (RoomKey, UserId)>,
    calls: u64,
    /// Rooms to compare with what is stored of them.
    checks: BTreeSet<RoomKey>,
    /// Whether everything is to be compared.
    all: bool,
    notices: VecDeque<(RoomKey, String)>,
    /// Nothing more will be said.
    closing: bool,
}

/// What is here of a user in a room.
#[derive(Default)]
struct Entry {
    /// As it is written; `None` if it is to be taken away.
    text: Option<Arc<str>>,
    /// Its place in the queue.
    queued: Option<u64>,
    /// Something may be stored.
    stored: bool,
}

/// A change to write.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) room: RoomKey,
    pub(super) user: UserId,
    /// `None`: nothing more.
    pub(super) text: Option<Arc<str>>,
    call: u64,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Everything is to be compared with what is stored.
    pub(super) all: bool,
    /// These rooms are.
    pub(super) checks: BTreeSet<RoomKey>,
    /// In order.
    pub(super) changes: Vec<Change>,
    /// In order, behind the changes.
    pub(super) notices: VecDeque<(RoomKey, String)>,
    /// Nothing more will be said.
    pub(super) closing: bool,
}

impl Work {
    /// Nothing is to be done.
    pub(super) fn is_nothing(&self) -> bool {
        !self.all && self.checks.is_empty() && self.changes.is_empty() && self.notices.is_empty()
    }
}

impl Book {
    /// Notes what is here of a user now.
    pub(super) fn note(&self, room: &RoomKey, user: &UserId, text: Option<Arc<str>>) {
        let chapter = self.chapter(Part::of(room));
        lock(&chapter.lists).note(room, user, text);
        chapter.new.notify_one();
    }

    /// Has something told to the other nodes that follow a room, unless too much waits already.
    pub(super) fn tell(&self, room: &RoomKey, text: String) {
        let chapter = self.chapter(Part::of(room));
        let mut lists = lock(&chapter.lists);
        if lists.notices.len() < NOTICES {
            lists.notices.push_back((room.clone(), text));
            chapter.new.notify_one();
        } else {
            tracing::debug!(room = %room.room, "other nodes are not told of a notice: too much waits");
        }
    }

    /// Has a room compared with what is stored of it.
    pub(in crate::backend::redis) fn check(&self, room: &RoomKey) {
        let chapter = self.chapter(Part::of(room));
        lock(&chapter.lists).checks.insert(room.clone());
        chapter.new.notify_one();
    }

    /// Has everything in a part compared with what is stored.
    pub(in crate::backend::redis) fn check_part(&self, part: Part) {
        let chapter = self.chapter(part);
        lock(&chapter.lists).all = true;
        chapter.new.notify_one();
    }

    /// Has those who work on it end once nothing is left to do.
    pub(super) fn close(&self) {
        for chapter in &self.parts {
            lock(&chapter.lists).closing = true;
            chapter.new.notify_one();
        }
    }

    /// What is to be done in a part, once there is something, or nothing will be any more.
    pub(super) async fn take(&self, part: Part) -> Work {
        let chapter = self.chapter(part);
        loop {
            let work = lock(&chapter.lists).take();
            if work.closing || !work.is_nothing() {
                return work;
            }
            chapter.new.notified().await;
        }
    }

    /// The work was done.
    pub(super) fn done(&self, part: Part, work: Work) {
        let mut lists = lock(&self.chapter(part).lists);
        for change in work.changes {
            lists.forget(&change.room, &change.user);
        }
    }

    /// The work could not be done: it is to be done later, but nobody wants to know then what was of the moment. What was
    /// stored before may be lost.
    pub(super) fn failed(&self, part: Part, work: Work) {
        let mut lists = lock(&self.chapter(part).lists);
        lists.all = true;
        for change in work.changes {
            lists.put_back(change);
        }
    }

    /// Has whatever is different from what is stored of a room written.
    pub(super) fn compare(&self, room: &RoomKey, stored: &HashMap<UserId, String>) {
        let mut lists = lock(&self.chapter(Part::of(room)).lists);
        let here = lists.rooms.get(room).into_iter().flatten();
        let differs = |(user, entry): &(&UserId, &Entry)| {
            stored.get(*user).map(String::as_str) != entry.text.as_deref()
        };
        let mut wrong: Vec<_> = here
            .filter(differs)
            .map(|(user, entry)| (user.clone(), entry.text.clone()))
            .collect();
        let known = lists.rooms.get(room);
        let unknown = stored
            .keys()
            .filter(|user| known.is_none_or(|known| !known.contains_key(*user)));
        wrong.extend(unknown.map(|user| (user.clone(), None)));
        for (user, text) in wrong {
            let entry = lists.rooms.entry(room.clone()).or_default();
            entry.entry(user.clone()).or_default().stored = true;
            lists.note(room, &user, text);
        }
    }

    /// The rooms of a part that have somebody here.
    pub(super) fn rooms(&self, part: Part) -> Vec<RoomKey> {
        let lists = lock(&self.chapter(part).lists);
        lists.rooms.keys().cloned().collect()
    }

    /// Notes a session that goes on here.
    pub(in crate::backend::redis) fn own(&self, pid: Pid) {
        lock(&self.sessions).insert(pid);
    }

    /// Notes that it does so no more.
    pub(in crate::backend::redis) fn disown(&self, pid: Pid) {
        lock(&self.sessions).remove(&pid);
    }

    /// The sessions of a part that go on here.
    pub(super) fn sessions(&self, part: Part) -> HashSet<Pid> {
        let sessions = lock(&self.sessions);
        let of_part = sessions
            .iter()
            .filter(|pid| Part::of_session(**pid) == part);
        of_part.copied().collect()
    }

    fn chapter(&self, part: Part) -> &Chapter {
        &self.parts[part.index()]
    }
}

impl Lists {
    fn note(&mut self, room: &RoomKey, user: &UserId, text: Option<Arc<str>>) {
        if !self.rooms.contains_key(room) {
            self.rooms.insert(room.clone(), HashMap::new());
        }
        let users = self.rooms.get_mut(room).expect("it was just made");
        let entry = users.entry(user.clone()).or_default();
        entry.text = text;
        if entry.text.is_none() && !entry.stored {
            // Nobody has heard of it.
            if let Some(call) = entry.queued.take() {
                self.queue.remove(&call);
            }
            self.forget(room, user);
        } else if entry.queued.is_none() {
            self.calls += 1;
            entry.queued = Some(self.calls);
            self.queue.insert(self.calls, (room.clone(), user.clone()));
        }
    }

    fn take(&mut self) -> Work {
        let mut changes = Vec::new();
        while changes.len() < BATCH
            && let Some((call, (room, user))) = self.queue.pop_first()
        {
            let entry = self.rooms.get_mut(&room);
            if let Some(entry) = entry.and_then(|users| users.get_mut(&user)) {
                (entry.queued, entry.stored) = (None, true);
                let text = entry.text.clone();
                changes.push(Change {
                    room,
                    user,
                    text,
                    call,
                });
            }
        }
        Work {
            all: std::mem::take(&mut self.all),
            checks: std::mem::take(&mut self.checks),
            changes,
            notices: std::mem::take(&mut self.notices),
            closing: self.closing,
        }
    }

    fn put_back(&mut self, change: Change) {
        let entry = self.rooms.get_mut(&change.room);
        if let Some(entry) = entry.and_then(|users| users.get_mut(&change.user))
            && entry.queued.is_none()
        {
            entry.queued = Some(change.call);
            self.queue.insert(change.call, (change.room, change.user));
        }
    }

    /// Forgets a user of whom nothing is here, nothing is stored, and nothing waits.
    fn forget(&mut self, room: &RoomKey, user: &UserId) {
        let Some(users) = self.rooms.get_mut(room) else {
            return;
        };
        let over = |entry: &Entry| entry.text.is_none() && entry.queued.is_none();
        if users.get(user).is_some_and(over) {
            users.remove(user);
        }
        if users.is_empty() {
            self.rooms.remove(room);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
