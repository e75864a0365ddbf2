//! The writer's in-memory table of rooms and namespaces: a write-back cache of their rows.
//!
//! Every method runs inside a transaction that the caller begins and commits. When one fails, the table is discarded: it
//! must never be ahead of the database.

use std::{collections::HashMap, sync::Arc, time::Duration};

use indexmap::IndexSet;
use rusqlite::Connection;

use super::tables::{
    idempotency, messages,
    namespaces::{self, NamespaceRow},
    read_markers,
    rooms::{self, RoomRow},
};
use crate::{
    backend::{
        Appended, Draft, LogTime, ReadMarker, Retention, RetentionPolicy, epoch,
        hot_cache::CachedMessage, read_markers::StoredMarker,
    },
    model::{Incarnation, Message, MessageId, Namespace, Offset, RoomKey, Seq, Timestamp, UserId},
};

/// How many rooms are cached before the cache is cleared; rows are read again when needed.
const MAX_CACHED_ROOMS: usize = 50_000;

/// The result of appending a draft.
pub(super) struct AppendOutcome {
    pub(super) appended: Appended,
    /// `None` for a repeat.
    pub(super) stored: Option<Arc<Message>>,
    oldest: Seq,
    trimmed: Offset,
}

pub(super) struct RoomTable {
    pub(super) retention: Retention,
    idempotency: Duration,
    /// What the epochs of unwritten rooms are derived from.
    incarnation: Incarnation,
    namespaces: HashMap<Namespace, CachedNamespace>,
    rooms: HashMap<RoomKey, CachedRoom>,
    /// Rooms whose row is to be written before the commit.
    dirty: Vec<RoomKey>,
    /// Rooms that hold far more messages than their policy allows.
    pub(super) over_limit: IndexSet<RoomKey>,
}

struct CachedNamespace {
    row: NamespaceRow,
    dirty: bool,
}

pub(super) struct CachedRoom {
    pub(super) row: RoomRow,
    pub(super) policy: RetentionPolicy,
    dirty: bool,
}

impl RoomTable {
    pub(super) fn new(
        retention: Retention,
        idempotency: Duration,
        incarnation: Incarnation,
    ) -> Self {
        Self {
            retention,
            idempotency,
            incarnation,
            namespaces: HashMap::new(),
            rooms: HashMap::new(),
            dirty: Vec::new(),
            over_limit: IndexSet::new(),
        }
    }

    /// Clears the cache: the transaction failed, so the database is behind it.
    pub(super) fn discard(&mut self) {
        self.namespaces.clear();
        self.rooms.clear();
        self.dirty.clear();
    }

    /// Numbers a draft and stores it, unless it is a repeat.
    pub(super) fn append(
        &mut self,
        db: &Connection,
        draft: &Draft,
        now: LogTime,
    ) -> rusqlite::Result<AppendOutcome> {
        let expired = now.before(self.idempotency);
        let room = self.find_or_create(db, &draft.room, now)?;
        if let Some(id) = &draft.id
            && let Some((seq, ts)) = idempotency::find(db, room.row.id, id, expired)?
        {
            return Ok(AppendOutcome::new(&room.row, id.clone(), seq, ts, None));
        }
        let offset = self.next_offset(db, &draft.room.namespace)?;
        let room = self.rooms.get_mut(&draft.room);
        let room = room.expect("it was found or created above");
        room.advance(offset, now.now);
        let (row, policy) = (room.row.clone(), room.policy);
        if !std::mem::replace(&mut room.dirty, true) {
            self.dirty.push(draft.room.clone());
        }
        if policy.exceeds_limit(row.oldest, row.head) && !self.over_limit.contains(&draft.room) {
            self.over_limit.insert(draft.room.clone());
        }
        let message = message(draft, &row);
        if policy.messages > 0 {
            messages::insert(db, row.id, &message)?;
        }
        if draft.id.is_some() {
            idempotency::insert(db, row.id, &message, now.now)?;
        }
        let id = message.id.clone();
        Ok(AppendOutcome::new(
            &row,
            id,
            row.head,
            row.ts,
            Some(message),
        ))
    }

    /// Advances a user's read marker, at most to the room's last message at this point of the transaction.
    pub(super) fn advance_marker(
        &mut self,
        db: &Connection,
        room: &RoomKey,
        user: &UserId,
        seq: Seq,
        now: LogTime,
    ) -> rusqlite::Result<ReadMarker> {
        self.touch(db, room, now)?;
        let Some(room) = self.find(db, room)? else {
            return Ok(ReadMarker::default());
        };
        let (id, head) = (room.row.id, room.row.head);
        let old = read_markers::find(db, id, user)?.unwrap_or(StoredMarker::NEVER);
        let Some(new) = old.set(seq, head, now) else {
            return Ok(ReadMarker::at(old.seq, head, false));
        };
        read_markers::upsert(db, id, user, new)?;
        Ok(ReadMarker::at(new.seq, head, new.seq > old.seq))
    }

    /// Records that the room, if it exists, is in use, so that it is not forgotten soon.
    pub(super) fn touch(
        &mut self,
        db: &Connection,
        key: &RoomKey,
        now: LogTime,
    ) -> rusqlite::Result<()> {
        if let Some(room) = self.find(db, key)?
            // Earlier versions stored rows of rooms that were only read.
            && room.row.head > Seq(0)
            && room.policy.needs_touch(room.row.ts, now)
        {
            room.row.ts = now.retention_clock;
            if !std::mem::replace(&mut room.dirty, true) {
                self.dirty.push(key.clone());
            }
        }
        Ok(())
    }

    /// Writes the changed rows of rooms and namespaces: the last thing before the commit.
    pub(super) fn flush(&mut self, db: &Connection) -> rusqlite::Result<()> {
        for key in self.dirty.drain(..) {
            if let Some(room) = self.rooms.get_mut(&key) {
                room.dirty = false;
                rooms::update(db, &room.row)?;
            }
        }
        for namespace in self.namespaces.values_mut().filter(|it| it.dirty) {
            namespace.dirty = false;
            namespaces::update(db, &namespace.row)?;
        }
        if self.rooms.len() > MAX_CACHED_ROOMS {
            self.rooms.clear();
        }
        Ok(())
    }

    fn find_or_create(
        &mut self,
        db: &Connection,
        key: &RoomKey,
        now: LogTime,
    ) -> rusqlite::Result<&mut CachedRoom> {
        if self.find(db, key)?.is_none() {
            let namespace = self.namespace(db, &key.namespace)?.row.id;
            let epoch = epoch::derive(&self.incarnation, key, rooms::forgotten(db, key)?);
            let row = rooms::insert(db, namespace, &key.room, epoch, now.retention_clock)?;
            self.cache(key, row);
        }
        Ok(self.rooms.get_mut(key).expect("it was found or created"))
    }

    /// The room, if it was ever written to.
    pub(super) fn find(
        &mut self,
        db: &Connection,
        key: &RoomKey,
    ) -> rusqlite::Result<Option<&mut CachedRoom>> {
        if !self.rooms.contains_key(key)
            && let Some(row) = rooms::find(db, key)?
        {
            self.cache(key, row);
        }
        Ok(self.rooms.get_mut(key))
    }

    fn cache(&mut self, key: &RoomKey, row: RoomRow) {
        let room = CachedRoom {
            row,
            policy: self.retention.policy(&key.room),
            dirty: false,
        };
        self.rooms.insert(key.clone(), room);
    }

    /// Follows the deletion of a room's messages before `oldest`, which are those up to the offset `trimmed`. The row
    /// in the database has been updated already.
    pub(super) fn raise_oldest(&mut self, key: &RoomKey, oldest: Seq, trimmed: Offset) {
        if let Some(CachedRoom { row, .. }) = self.rooms.get_mut(key) {
            row.oldest = row.oldest.max(oldest);
            row.trimmed = row.trimmed.max(trimmed);
        }
    }

    /// Follows the deletion of the room's row.
    pub(super) fn remove(&mut self, key: &RoomKey) {
        self.rooms.remove(key);
    }

    /// Message ids from before this time can be deleted.
    pub(super) fn ids_expired(&self, now: LogTime) -> Timestamp {
        now.before(self.idempotency)
    }

    fn next_offset(&mut self, db: &Connection, name: &Namespace) -> rusqlite::Result<Offset> {
        let namespace = self.namespace(db, name)?;
        namespace.row.offset.0 += 1;
        namespace.dirty = true;
        Ok(namespace.row.offset)
    }

    fn namespace(
        &mut self,
        db: &Connection,
        name: &Namespace,
    ) -> rusqlite::Result<&mut CachedNamespace> {
        if !self.namespaces.contains_key(name) {
            let row = namespaces::find_or_insert(db, name)?;
            let namespace = CachedNamespace { row, dirty: false };
            self.namespaces.insert(name.clone(), namespace);
        }
        Ok(self
            .namespaces
            .get_mut(name)
            .expect("it was found or inserted"))
    }
}

impl CachedRoom {
    /// Makes place for the room's next message.
    fn advance(&mut self, offset: Offset, now: Timestamp) {
        let row = &mut self.row;
        // Timestamps never decrease within a room, whatever the clock does: the expired messages are always the first.
        row.ts = row.ts.max(now);
        row.head = row.head.next();
        row.offset = offset;
        if self.policy.messages == 0 {
            row.oldest = row.head.next();
            row.trimmed = offset;
        }
    }
}

/// The message that a draft becomes as the last one of its room.
fn message(draft: &Draft, row: &RoomRow) -> Arc<Message> {
    Arc::new(Message {
        room: draft.room.clone(),
        id: draft.id.clone().unwrap_or_else(MessageId::generate),
        seq: row.head,
        offset: row.offset,
        event: draft.event.clone(),
        from: draft.from.clone(),
        data: draft.data.clone(),
        ts: row.ts,
        except: draft.except,
    })
}

impl AppendOutcome {
    fn new(
        row: &RoomRow,
        id: MessageId,
        seq: Seq,
        ts: Timestamp,
        stored: Option<Arc<Message>>,
    ) -> Self {
        Self {
            appended: Appended {
                id,
                seq,
                epoch: row.epoch.clone(),
                ts,
                duplicate: stored.is_none(),
            },
            stored,
            oldest: row.oldest,
            trimmed: row.trimmed,
        }
    }

    /// The message, if it can be read: not a repeat, nor in a room that keeps no messages.
    pub(super) fn kept(&self) -> Option<&Arc<Message>> {
        self.stored.as_ref().filter(|it| self.oldest <= it.seq)
    }

    /// What the hot cache is to hold of it.
    pub(super) fn for_cache(&self) -> Option<CachedMessage> {
        self.kept().map(|message| CachedMessage {
            message: message.clone(),
            epoch: self.appended.epoch.clone(),
            oldest: self.oldest,
            trimmed: self.trimmed,
        })
    }
}
