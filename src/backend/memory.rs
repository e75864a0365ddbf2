//! A log in memory: the same promises as the embedded log, except that it is lost with the process.
//!
//! For trying things out, for tests, and for rooms without history. Bounded by retention only.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use indexmap::IndexMap;
use tokio::sync::{Notify, mpsc};

use crate::{
    backend::{
        Appended, Backend, Clock, DEFAULT_IDEMPOTENCY_WINDOW, DEFAULT_OUTBOX_EVENTS,
        DEFAULT_SESSION_WINDOW, Deliveries, Delivery, Draft, LocalBus, Log, LogTime,
        MessageEntries, Missed, Page, PageSize, Range, Receipt, Retention, RetentionPolicy, clock,
        closed, deliveries, epoch, recent::RecentMessages,
    },
    error::Result,
    model::{Epoch, Incarnation, Message, MessageId, Namespace, Offset, RoomKey, Seq, Timestamp},
    sync::lock,
};

mod documents;
mod outbox;
mod read_markers;
mod sessions;

use documents::StoredDocuments;
use outbox::MemoryOutbox;
use read_markers::RoomMarkers;
use sessions::StoredSessions;

/// How many rooms and sessions each call trims, and how many read markers of each room: a round robin that reaches all of
/// them, and keeps every call short.
const TRIM_STEP: usize = 2;

/// What a memory log keeps.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// How much of each room.
    pub retention: Retention,
    /// How long a message id is remembered.
    pub idempotency: Duration,
    /// How long a session that has ended can be resumed.
    pub session_window: Duration,
    /// How many events the outbox keeps.
    pub outbox_events: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            idempotency: DEFAULT_IDEMPOTENCY_WINDOW,
            session_window: DEFAULT_SESSION_WINDOW,
            outbox_events: DEFAULT_OUTBOX_EVENTS,
        }
    }
}

/// Opens a new, empty log.
pub fn open(config: MemoryConfig) -> (Backend, Deliveries) {
    let (log, stream, deliveries) = open_with(config, clock::system_clock(None));
    let backend = Backend {
        read_markers: log.clone(),
        sessions: log.clone(),
        outbox: log.clone(),
        documents: log.clone(),
        cluster: None,
        pubsub: None,
        health: Arc::default(),
        log,
        bus: Arc::new(LocalBus::new(stream)),
    };
    (backend, deliveries)
}

pub(super) fn open_with(
    config: MemoryConfig,
    clock: Clock,
) -> (Arc<MemoryLog>, mpsc::Sender<Delivery>, Deliveries) {
    let (stream, deliveries) = deliveries();
    let incarnation = Incarnation::generate();
    let outbox = MemoryOutbox::new(config.outbox_events, clock());
    let log = MemoryLog {
        incarnation: incarnation.clone(),
        stream: stream.clone(),
        clock,
        rooms: Mutex::new(Some(MemoryRooms::new(config, incarnation, outbox))),
        outbox_added: Notify::new(),
    };
    (Arc::new(log), stream, deliveries)
}

pub(super) struct MemoryLog {
    stream: mpsc::Sender<Delivery>,
    clock: Clock,
    incarnation: Incarnation,
    // A std mutex: it is held for a few map operations and never across an await. `None` once closed.
    rooms: Mutex<Option<MemoryRooms>>,
    /// Something was added to the outbox.
    outbox_added: Notify,
}

struct MemoryRooms {
    config: MemoryConfig,
    /// What the epochs of unwritten rooms are derived from.
    incarnation: Incarnation,
    /// How many rooms were forgotten, by the counter that they share; absent means 0.
    forgotten: HashMap<u16, u64>,
    /// The rooms that were ever written to.
    rooms: IndexMap<RoomKey, MemoryRoom>,
    offsets: HashMap<Namespace, Offset>,
    /// Remembered message ids, in the order in which they expire.
    ids: VecDeque<(Timestamp, RoomKey, MessageId)>,
    sessions: StoredSessions,
    outbox: MemoryOutbox,
    documents: StoredDocuments,
    /// Index of the room to trim next.
    trim_cursor: usize,
}

struct MemoryRoom {
    recent: RecentMessages,
    policy: RetentionPolicy,
    ids: HashMap<MessageId, (Seq, Timestamp)>,
    markers: RoomMarkers,
    /// When it was last written, or read after that.
    ts: Timestamp,
}

impl MemoryLog {
    fn lock(&self) -> MutexGuard<'_, Option<MemoryRooms>> {
        lock(&self.rooms)
    }

    /// How many entries are stored.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        let rooms = self.lock();
        let Some(rooms) = rooms.as_ref() else {
            return 0;
        };
        rooms.rooms.len() + rooms.forgotten.len() + rooms.ids.len()
    }

    /// Deletes everything that has expired at `now`.
    #[cfg(test)]
    pub(super) fn trim(&self, now: LogTime) {
        if let Some(rooms) = self.lock().as_mut() {
            rooms.forget_ids(now);
            // Backwards, since a forgotten room's place is taken by the last one.
            for index in (0..rooms.rooms.len()).rev() {
                rooms.trim_room(index, now);
            }
            rooms.sessions.trim(rooms.config.session_window, now);
            for room in rooms.rooms.values_mut() {
                room.markers.trim(room.policy, now);
            }
        }
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&self, draft: Draft) -> Result<Receipt> {
        let (settle, receipt) = Receipt::new();
        // The place on the stream is reserved first, so that numbering and delivering are one step under the lock. If the
        // receiver was dropped, messages are stored all the same.
        let place = self.stream.reserve().await.ok();
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        let entries = draft.entries;
        let (appended, message) = rooms.append(draft, (self.clock)());
        if let Some(message) = &message
            && rooms.add_to_outbox(entries, message)
        {
            self.outbox_added.notify_one();
        }
        if let (Some(place), Some(message)) = (place, message) {
            place.send(Delivery::Message(message));
        }
        // The receipt may have been dropped; the draft is stored all the same.
        let _ = settle.send(Ok(appended));
        Ok(receipt)
    }

    async fn read(&self, room: &RoomKey, range: Range, size: PageSize) -> Result<Page> {
        let now = (self.clock)();
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        rooms.trim_step(now);
        let Some(room) = rooms.rooms.get_mut(room) else {
            return Ok(Page::unwritten(rooms.unwritten(room)));
        };
        room.touch(now);
        let cutoff = room.policy.cutoff(now);
        let page = room.recent.page(range, size, cutoff);
        Ok(page.expect("all stored messages are in memory"))
    }

    async fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
    ) -> Result<Missed> {
        let now = (self.clock)();
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        rooms.trim_step(now);
        let Some(room) = rooms.rooms.get(room) else {
            return Ok(Missed::nothing());
        };
        let cutoff = room.policy.cutoff(now);
        let missed = room.recent.missed(after, until, size, cutoff);
        Ok(missed.expect("all stored messages are in memory"))
    }

    async fn last_offset(&self, namespace: &Namespace) -> Result<Offset> {
        let rooms = self.lock();
        let rooms = rooms.as_ref().ok_or_else(closed)?;
        Ok(rooms.offsets.get(namespace).copied().unwrap_or_default())
    }

    fn incarnation(&self) -> Incarnation {
        self.incarnation.clone()
    }

    async fn ready(&self) -> Result<()> {
        self.lock().as_ref().map(|_| ()).ok_or_else(closed)
    }

    async fn close(&self) {
        self.lock().take();
    }
}

impl MemoryRooms {
    fn new(config: MemoryConfig, incarnation: Incarnation, outbox: MemoryOutbox) -> Self {
        Self {
            config,
            incarnation,
            forgotten: HashMap::new(),
            rooms: IndexMap::new(),
            offsets: HashMap::new(),
            ids: VecDeque::new(),
            sessions: StoredSessions::default(),
            outbox,
            documents: StoredDocuments::default(),
            trim_cursor: 0,
        }
    }

    /// The epoch of a room that was never written to.
    fn unwritten(&self, room: &RoomKey) -> Epoch {
        let forgotten = self.forgotten.get(&epoch::slot(room));
        epoch::derive(&self.incarnation, room, forgotten.copied().unwrap_or(0))
    }

    /// Stores a draft, and returns the result, and the message unless it is a repeat.
    fn append(&mut self, draft: Draft, now: LogTime) -> (Appended, Option<Arc<Message>>) {
        self.forget_ids(now);
        self.trim_step(now);
        let room = self.room(&draft.room, now);
        let given = draft.id.is_some();
        let id = draft.id.unwrap_or_else(MessageId::generate);
        if let Some(&(seq, ts)) = room.ids.get(&id) {
            return (room.appended(id, seq, ts, true), None);
        }
        // Timestamps never decrease within a room, whatever the clock does.
        let ts = room.ts.max(now.now);
        room.ts = ts;
        let seq = room.recent.head().next();
        let appended = room.appended(id.clone(), seq, ts, false);
        if given {
            room.ids.insert(id.clone(), (seq, ts));
            self.ids
                .push_back((now.now, draft.room.clone(), id.clone()));
        }
        let offset = self
            .offsets
            .entry(draft.room.namespace.clone())
            .or_default();
        offset.0 += 1;
        let message = Arc::new(Message {
            room: draft.room,
            id,
            seq,
            offset: *offset,
            event: draft.event,
            from: draft.from,
            data: draft.data,
            ts,
            except: draft.except,
        });
        let room = self.room(&message.room, now);
        room.recent.push(message.clone());
        room.trim(now);
        (appended, Some(message))
    }

    /// Adds the entries of a message to the outbox; whether there are any.
    fn add_to_outbox(&mut self, entries: MessageEntries, message: &Message) -> bool {
        let kept = self.config.retention.policy(&message.room.room).messages > 0;
        if !kept || entries == MessageEntries::default() {
            return false;
        }
        for kind in entries.kinds() {
            self.outbox.push_message(kind, message);
        }
        true
    }

    /// The room, created if there is none.
    fn room(&mut self, key: &RoomKey, now: LogTime) -> &mut MemoryRoom {
        if !self.rooms.contains_key(key) {
            let room = MemoryRoom {
                recent: RecentMessages::new(self.unwritten(key), Seq(0), Seq(1)),
                policy: self.config.retention.policy(&key.room),
                ids: HashMap::new(),
                markers: RoomMarkers::default(),
                ts: now.retention_clock,
            };
            self.rooms.insert(key.clone(), room);
        }
        self.rooms.get_mut(key).expect("it was found or inserted")
    }

    fn forget_ids(&mut self, now: LogTime) {
        let expired = now.before(self.config.idempotency);
        while let Some((ts, ..)) = self.ids.front()
            && *ts < expired
            && let Some((_, room, id)) = self.ids.pop_front()
        {
            if let Some(room) = self.rooms.get_mut(&room) {
                room.ids.remove(&id);
            }
        }
    }

    /// Trims the next few rooms and sessions.
    fn trim_step(&mut self, now: LogTime) {
        self.sessions.trim_step(self.config.session_window, now);
        for _ in 0..TRIM_STEP.min(self.rooms.len()) {
            self.trim_cursor = (self.trim_cursor + 1) % self.rooms.len().max(1);
            self.trim_room(self.trim_cursor, now);
        }
    }

    fn trim_room(&mut self, index: usize, now: LogTime) {
        let Some((_, room)) = self.rooms.get_index_mut(index) else {
            return;
        };
        room.trim(now);
        room.markers.trim_step(room.policy, now);
        if room.recent.is_empty()
            && room.ids.is_empty()
            && room.policy.room_expired(room.ts, now)
            && let Some((key, _)) = self.rooms.swap_remove_index(index)
        {
            *self.forgotten.entry(epoch::slot(&key)).or_default() += 1;
        }
    }
}

impl MemoryRoom {
    /// Records that the room is in use.
    fn touch(&mut self, now: LogTime) {
        if self.policy.needs_touch(self.ts, now) {
            self.ts = now.retention_clock;
        }
    }

    fn trim(&mut self, now: LogTime) {
        let first = self.policy.first_by_count(self.recent.head());
        self.recent.drop_old(first, self.policy.cutoff(now));
    }

    fn appended(&self, id: MessageId, seq: Seq, ts: Timestamp, duplicate: bool) -> Appended {
        Appended {
            id,
            seq,
            epoch: self.recent.epoch().clone(),
            ts,
            duplicate,
        }
    }
}
