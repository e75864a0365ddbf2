//! The writer's rooms: the numbers of the rooms and namespaces in use, and the statements that store messages.
//!
//! Every method runs inside a transaction that somebody else begins and ends. When one fails, the rooms are thrown
//! away: they are a cache of what the database holds, and must never run ahead of it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use indexmap::IndexSet;
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    backend::{
        Appended, Draft, LogTime, Retention, RetentionPolicy, epoch, hot_cache::CachedMessage,
    },
    model::{Epoch, Message, MessageId, Namespace, Offset, RoomKey, Seq, Timestamp},
};

/// How many rooms are remembered at most; more than that are read again when needed.
const ROOMS: usize = 50_000;

/// What became of a draft.
pub(super) struct Outcome {
    pub(super) appended: Appended,
    /// `None` for a repeat.
    pub(super) stored: Option<Arc<Message>>,
    pub(super) oldest: Seq,
    trimmed: Offset,
}

pub(super) struct RoomTable {
    pub(super) retention: Retention,
    idempotency: Duration,
    /// What the epochs of unwritten rooms are derived from.
    incarnation: Epoch,
    namespaces: HashMap<Namespace, NamespaceRow>,
    rooms: HashMap<RoomKey, RoomRow>,
    /// Rooms whose row is to be written before the commit.
    changed: Vec<RoomKey>,
    /// Rooms that hold far more than they may.
    pub(super) overfull: IndexSet<RoomKey>,
}

struct NamespaceRow {
    id: i64,
    offset: Offset,
    changed: bool,
}

#[derive(Clone)]
pub(super) struct RoomRow {
    pub(super) id: i64,
    pub(super) epoch: Epoch,
    pub(super) head: Seq,
    pub(super) oldest: Seq,
    /// The offsets of its last message, and of the newest one that is gone; 0 if there is none.
    offset: Offset,
    trimmed: Offset,
    /// When it was last written, or read after that.
    pub(super) ts: Timestamp,
    pub(super) keep: RetentionPolicy,
    changed: bool,
}

impl RoomTable {
    pub(super) fn new(retention: Retention, idempotency: Duration, incarnation: Epoch) -> Self {
        Self {
            retention,
            idempotency,
            incarnation,
            namespaces: HashMap::new(),
            rooms: HashMap::new(),
            changed: Vec::new(),
            overfull: IndexSet::new(),
        }
    }

    /// Forgets everything: the transaction failed, so the database is behind the rooms.
    pub(super) fn discard(&mut self) {
        self.namespaces.clear();
        self.rooms.clear();
        self.changed.clear();
    }

    /// Numbers a draft and stores it, unless it is a repeat.
    pub(super) fn append(
        &mut self,
        db: &Connection,
        draft: &Draft,
        now: LogTime,
    ) -> rusqlite::Result<Outcome> {
        let expired = now.before(self.idempotency);
        let row = self.room(db, &draft.room, now)?;
        if let Some(id) = &draft.id
            && let Some((seq, ts)) = first_use(db, row.id, id, expired)?
        {
            return Ok(row.outcome(id.clone(), seq, ts, None));
        }
        let offset = self.next_offset(db, &draft.room.namespace)?;
        let row = self.rooms.get_mut(&draft.room);
        let row = row.expect("it was there a moment ago");
        // Times never fall within a room, whatever the clock does: what is too old is always the beginning.
        row.ts = row.ts.max(now.now);
        row.head = row.head.next();
        let (room, seq, ts) = (row.id, row.head, row.ts);
        row.offset = offset;
        if row.keep.messages == 0 {
            row.oldest = seq.next();
            row.trimmed = offset;
        }
        let outcome = row.clone();
        if !std::mem::replace(&mut row.changed, true) {
            self.changed.push(draft.room.clone());
        }
        if outcome.keep.overfull(outcome.oldest, seq) && !self.overfull.contains(&draft.room) {
            self.overfull.insert(draft.room.clone());
        }
        let message = Message {
            room: draft.room.clone(),
            id: draft.id.clone().unwrap_or_else(MessageId::generate),
            seq,
            offset,
            event: draft.event.clone(),
            from: draft.from.clone(),
            data: draft.data.clone(),
            ts,
            except: draft.except,
        };
        if outcome.keep.messages > 0 {
            insert(db, room, &message)?;
        }
        if draft.id.is_some() {
            remember(db, room, &message, now)?;
        }
        Ok(outcome.outcome(message.id.clone(), seq, ts, Some(Arc::new(message))))
    }

    /// Makes sure that the room, if there is one, is not soon forgotten.
    pub(super) fn touch(
        &mut self,
        db: &Connection,
        room: &RoomKey,
        now: LogTime,
    ) -> rusqlite::Result<()> {
        if let Some(row) = self.find(db, room)?
            // Earlier versions had rows of rooms that were only read.
            && row.head > Seq(0)
            && row.keep.needs_touch(row.ts, now)
        {
            row.ts = now.retention_clock;
            if !std::mem::replace(&mut row.changed, true) {
                self.changed.push(room.clone());
            }
        }
        Ok(())
    }

    /// Writes the rows of the rooms and namespaces that changed: the last thing before the commit.
    pub(super) fn flush(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut update =
            db.prepare_cached(r#"UPDATE rooms SET head = ?2, oldest = ?3, ts = ?4, "offset" = ?5, trimmed = ?6 WHERE id = ?1"#)?;
        for key in self.changed.drain(..) {
            if let Some(row) = self.rooms.get_mut(&key) {
                row.changed = false;
                update.execute(params![
                    row.id,
                    int(row.head.0),
                    int(row.oldest.0),
                    int(row.ts.0),
                    int(row.offset.0),
                    int(row.trimmed.0),
                ])?;
            }
        }
        let mut update =
            db.prepare_cached(r#"UPDATE namespaces SET "offset" = ?2 WHERE id = ?1"#)?;
        for row in self.namespaces.values_mut().filter(|row| row.changed) {
            row.changed = false;
            update.execute(params![row.id, int(row.offset.0)])?;
        }
        if self.rooms.len() > ROOMS {
            self.rooms.clear();
        }
        Ok(())
    }

    /// The room, created if need be: for somebody who writes to it.
    fn room(
        &mut self,
        db: &Connection,
        key: &RoomKey,
        now: LogTime,
    ) -> rusqlite::Result<&mut RoomRow> {
        if self.find(db, key)?.is_none() {
            let namespace = self.namespace(db, &key.namespace)?.id;
            let keep = self.retention.policy(&key.room);
            let epoch = epoch::derive(&self.incarnation, key, forgotten(db, key)?);
            let row = create_room(db, namespace, key, epoch, keep, now)?;
            self.rooms.insert(key.clone(), row);
        }
        Ok(self.rooms.get_mut(key).expect("it was there or is now"))
    }

    /// The room, if somebody has written to it.
    pub(super) fn find(
        &mut self,
        db: &Connection,
        key: &RoomKey,
    ) -> rusqlite::Result<Option<&mut RoomRow>> {
        if !self.rooms.contains_key(key) {
            let found = find_room(db, key, self.retention.policy(&key.room))?;
            self.rooms.extend(found.map(|row| (key.clone(), row)));
        }
        Ok(self.rooms.get_mut(key))
    }

    /// The room's messages before `oldest`, which are those up to the offset `trimmed`, were deleted, and the database
    /// says so in its row.
    pub(super) fn trimmed(&mut self, key: &RoomKey, oldest: Seq, trimmed: Offset) {
        if let Some(row) = self.rooms.get_mut(key) {
            row.oldest = row.oldest.max(oldest);
            row.trimmed = row.trimmed.max(trimmed);
        }
    }

    /// The room's row was deleted.
    pub(super) fn forget(&mut self, key: &RoomKey) {
        self.rooms.remove(key);
    }

    /// Before this time ids are not remembered.
    pub(super) fn ids_expired(&self, now: LogTime) -> Timestamp {
        now.before(self.idempotency)
    }

    fn next_offset(&mut self, db: &Connection, namespace: &Namespace) -> rusqlite::Result<Offset> {
        let row = self.namespace(db, namespace)?;
        row.offset.0 += 1;
        row.changed = true;
        Ok(row.offset)
    }

    fn namespace(
        &mut self,
        db: &Connection,
        name: &Namespace,
    ) -> rusqlite::Result<&mut NamespaceRow> {
        if !self.namespaces.contains_key(name) {
            db.prepare_cached(
                r#"INSERT INTO namespaces (name, "offset") VALUES (?1, 0) ON CONFLICT (name) DO NOTHING"#,
            )?
            .execute([name.as_str()])?;
            let row = db
                .prepare_cached(r#"SELECT id, "offset" FROM namespaces WHERE name = ?1"#)?
                .query_row([name.as_str()], |row| {
                    Ok(NamespaceRow {
                        id: row.get(0)?,
                        offset: Offset(nat(row.get(1)?)),
                        changed: false,
                    })
                })?;
            self.namespaces.insert(name.clone(), row);
        }
        Ok(self
            .namespaces
            .get_mut(name)
            .expect("it was there or is now"))
    }
}

impl RoomRow {
    fn outcome(
        &self,
        id: MessageId,
        seq: Seq,
        ts: Timestamp,
        stored: Option<Arc<Message>>,
    ) -> Outcome {
        Outcome {
            appended: Appended {
                id,
                seq,
                epoch: self.epoch.clone(),
                ts,
                duplicate: stored.is_none(),
            },
            stored,
            oldest: self.oldest,
            trimmed: self.trimmed,
        }
    }
}

impl Outcome {
    /// What the tail is to hold of it: nothing of a repeat, nor of a room that keeps nothing.
    pub(super) fn for_tail(&self) -> Option<CachedMessage> {
        let message = self.stored.as_ref()?;
        (self.oldest <= message.seq).then(|| CachedMessage {
            message: message.clone(),
            epoch: self.appended.epoch.clone(),
            oldest: self.oldest,
            trimmed: self.trimmed,
        })
    }
}

fn find_room(
    db: &Connection,
    key: &RoomKey,
    keep: RetentionPolicy,
) -> rusqlite::Result<Option<RoomRow>> {
    db.prepare_cached(
        r#"SELECT rooms.id, epoch, head, oldest, ts, rooms."offset", trimmed
           FROM rooms JOIN namespaces ON namespaces.id = rooms.namespace
           WHERE namespaces.name = ?1 AND rooms.name = ?2"#,
    )?
    .query_row(params![key.namespace.as_str(), key.room.as_str()], |row| {
        Ok(RoomRow {
            id: row.get(0)?,
            epoch: Epoch::from_text(row.get_ref(1)?.as_str()?),
            head: Seq(nat(row.get(2)?)),
            oldest: Seq(nat(row.get(3)?)),
            ts: Timestamp(nat(row.get(4)?)),
            offset: Offset(nat(row.get(5)?)),
            trimmed: Offset(nat(row.get(6)?)),
            keep,
            changed: false,
        })
    })
    .optional()
}

fn create_room(
    db: &Connection,
    namespace: i64,
    key: &RoomKey,
    epoch: Epoch,
    keep: RetentionPolicy,
    now: LogTime,
) -> rusqlite::Result<RoomRow> {
    db.prepare_cached(
        r#"INSERT INTO rooms (namespace, name, epoch, head, oldest, ts, "offset", trimmed)
           VALUES (?1, ?2, ?3, 0, 1, ?4, 0, 0)"#,
    )?
    .execute(params![
        namespace,
        key.room.as_str(),
        epoch.as_str(),
        int(now.retention_clock.0)
    ])?;
    Ok(RoomRow {
        id: db.last_insert_rowid(),
        epoch,
        head: Seq(0),
        oldest: Seq(1),
        offset: Offset(0),
        trimmed: Offset(0),
        ts: now.retention_clock,
        keep,
        changed: false,
    })
}

/// How many rooms were forgotten that share a room's counter.
pub(super) fn forgotten(db: &Connection, room: &RoomKey) -> rusqlite::Result<u64> {
    let count = db
        .prepare_cached("SELECT count FROM forgotten WHERE slot = ?1")?
        .query_row([epoch::slot(room)], |row| Ok(nat(row.get(0)?)))
        .optional()?;
    Ok(count.unwrap_or(0))
}

/// The message that `id` named first in this room, unless that was before `expired`.
fn first_use(
    db: &Connection,
    room: i64,
    id: &MessageId,
    expired: Timestamp,
) -> rusqlite::Result<Option<(Seq, Timestamp)>> {
    db.prepare_cached("SELECT seq, sent FROM ids WHERE room = ?1 AND id = ?2 AND ts >= ?3")?
        .query_row(params![room, id.as_str(), int(expired.0)], |row| {
            Ok((Seq(nat(row.get(0)?)), Timestamp(nat(row.get(1)?))))
        })
        .optional()
}

fn remember(
    db: &Connection,
    room: i64,
    message: &Message,
    now: LogTime,
) -> rusqlite::Result<usize> {
    // An id that is there already is one whose time has passed.
    db.prepare_cached(
        "INSERT OR REPLACE INTO ids (room, id, seq, sent, ts) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        room,
        message.id.as_str(),
        int(message.seq.0),
        int(message.ts.0),
        int(now.now.0)
    ])
}

fn insert(db: &Connection, room: i64, message: &Message) -> rusqlite::Result<usize> {
    let from = message.from.as_ref();
    db.prepare_cached(
        r#"INSERT INTO messages (room, seq, "offset", ts, id, event, user, name, data, "except")
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"#,
    )?
    .execute(params![
        room,
        int(message.seq.0),
        int(message.offset.0),
        int(message.ts.0),
        message.id.as_str(),
        message.event.as_str(),
        from.map(|from| from.user.as_str()),
        from.and_then(|from| from.name.as_deref()),
        message.data.get(),
        message.except.map(|connection| connection.to_string()),
    ])
}

/// SQLite's integers are signed; ours never come near the end.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn nat(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
