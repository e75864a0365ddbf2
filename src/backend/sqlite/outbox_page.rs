//! Reads of the outbox, with the messages that its entries name, in the caller's transaction.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, ErrorCode};

use super::tables::{
    messages,
    outbox::{self, StoredEvent, Subject},
    rooms::{self, RoomRow},
};
use crate::{
    backend::{LogTime, OutboxEvent, OutboxPage, Retention},
    model::{Message, Offset, RoomKey, Seq, Timestamp},
    retry::log_rarely,
};

/// Which events to read.
pub(super) struct OutboxRequest {
    pub(super) after: u64,
    pub(super) limit: usize,
    /// How many bytes of data the messages may have in total.
    pub(super) bytes: usize,
    pub(super) retention: Arc<Retention>,
    pub(super) now: LogTime,
}

/// Reads events.
pub(super) fn read(db: &Connection, request: &OutboxRequest) -> rusqlite::Result<OutboxPage> {
    let mut resolver = Resolver {
        db,
        request,
        rooms: HashMap::new(),
    };
    let mut events: Vec<OutboxEvent> = Vec::new();
    let mut space = request.bytes;
    outbox::visit_after(db, request.after, request.limit, |stored| {
        let event = resolver.resolve(stored)?;
        let cost = event.message.as_ref().map_or(0, |it| it.data.get().len());
        let fits = cost <= space || events.is_empty();
        if fits {
            space = space.saturating_sub(cost);
            events.push(event);
        }
        Ok(fits)
    })?;
    Ok(OutboxPage {
        events,
        last: outbox::last(db)?,
        began: outbox::began(db)?,
    })
}

/// Finds the messages of entries.
struct Resolver<'a> {
    db: &'a Connection,
    request: &'a OutboxRequest,
    /// The rooms that entries were about so far.
    rooms: HashMap<RoomKey, Option<RoomRow>>,
}

impl Resolver<'_> {
    fn resolve(&mut self, stored: StoredEvent) -> rusqlite::Result<OutboxEvent> {
        let StoredEvent {
            number,
            kind,
            room,
            subject,
        } = stored;
        let (message, user, ts) = match subject {
            Subject::Member(user, ts) => (None, user, ts),
            Subject::Message(seq, offset) => {
                let message = match self.message(&room, seq, offset) {
                    // Otherwise no back end would ever be told anything after it.
                    Err(error) if is_damage(&error) => {
                        let name = &room.room;
                        log_rarely!(error, %error, room = %name, "a message of the outbox cannot be read; it counts as deleted");
                        None
                    }
                    message => message?,
                };
                let ts = message.as_ref().map_or(Timestamp(0), |message| message.ts);
                (message, None, ts)
            }
        };
        Ok(OutboxEvent {
            number,
            kind,
            room,
            user,
            message,
            ts,
        })
    }

    /// A message that is still stored and not expired.
    fn message(
        &mut self,
        key: &RoomKey,
        seq: Seq,
        offset: Offset,
    ) -> rusqlite::Result<Option<Arc<Message>>> {
        if !self.rooms.contains_key(key) {
            let row = rooms::find(self.db, key)?;
            self.rooms.insert(key.clone(), row);
        }
        let row = self.rooms.get(key).and_then(Option::as_ref);
        let Some(row) = row.filter(|row| row.oldest <= seq) else {
            return Ok(None);
        };
        let policy = self.request.retention.policy(&key.room);
        let cutoff = policy.cutoff(self.request.now);
        let message = messages::find(self.db, row.id, key, seq)?;
        // A room that was forgotten may have given its numbers anew; offsets are never given again.
        Ok(message.filter(|it| it.offset == offset && it.ts >= cutoff))
    }
}

/// Whether reading the same again would fail the same way.
fn is_damage(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error_code()
        .is_none_or(|code| code == ErrorCode::DatabaseCorrupt)
}
