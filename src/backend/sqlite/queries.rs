//! What a read returns: pages of a room's messages, composed from the tables in one transaction, which the caller begins and ends.

use rusqlite::Connection;

use super::tables::{
    messages::{self, Direction},
    rooms,
};
use crate::{
    backend::{LogTime, Missed, Page, PageSize, Range, RetentionPolicy},
    model::{Offset, RoomKey, Timestamp},
};

/// Which messages of a room to read.
pub(super) struct PageRequest {
    pub(super) room: RoomKey,
    pub(super) range: Range,
    pub(super) size: PageSize,
    pub(super) policy: RetentionPolicy,
    pub(super) now: LogTime,
}

/// Between which offsets to read a room.
pub(super) struct MissedRequest {
    pub(super) room: RoomKey,
    pub(super) after: Offset,
    pub(super) until: Offset,
    pub(super) size: PageSize,
    /// Messages from before this time are not returned.
    pub(super) cutoff: Timestamp,
}

/// What the database has of a room.
pub(super) enum RoomRead {
    Found(FoundPage),
    /// It was never written to. `forgotten` is how many rooms that share its counter were deleted.
    Unwritten {
        forgotten: u64,
    },
}

/// A page from the database.
pub(super) struct FoundPage {
    pub(super) page: Page,
    /// When `page.oldest` was stored, if it was.
    pub(super) oldest_ts: Option<Timestamp>,
    /// When the room was last written, or read after that.
    pub(super) ts: Timestamp,
}

/// Reads a page.
pub(super) fn page(db: &Connection, request: &PageRequest) -> rusqlite::Result<RoomRead> {
    let Some(row) = rooms::find(db, &request.room)? else {
        let forgotten = rooms::forgotten(db, &request.room)?;
        return Ok(RoomRead::Unwritten { forgotten });
    };
    let (id, head) = (row.id, row.head);
    let cutoff = request.policy.cutoff(request.now);
    let oldest = messages::first_since(db, id, row.oldest, head, cutoff)?;
    let (span, direction) = match request.range {
        Range::After(seq) => (
            seq.min(head).next().max(oldest)..head.next(),
            Direction::Forward,
        ),
        Range::Before(seq) => (oldest..seq.min(head.next()), Direction::Backward),
        Range::Last => (oldest..head.next(), Direction::Backward),
    };
    let (messages, more) = messages::page(db, id, &request.room, span, direction, request.size)?;
    let page = Page {
        epoch: row.epoch,
        head,
        offset: row.offset,
        oldest,
        messages,
        more,
    };
    Ok(RoomRead::Found(FoundPage {
        oldest_ts: messages::timestamp_of(db, id, oldest)?,
        page,
        ts: row.ts,
    }))
}

/// Reads what was missed between two offsets.
pub(super) fn missed(db: &Connection, request: &MissedRequest) -> rusqlite::Result<Missed> {
    let row = match rooms::find(db, &request.room)? {
        Some(row) if row.offset > request.after => row,
        _ => return Ok(Missed::nothing()),
    };
    let (id, oldest, head) = (row.id, row.oldest, row.head);
    let start = messages::first_beyond(db, id, oldest, head, request.after)?;
    let end = if row.offset <= request.until {
        head.next()
    } else {
        messages::first_beyond(db, id, start, head, request.until)?
    };
    let first_unexpired = messages::first_since(db, id, oldest, head, request.cutoff)?;
    let span = start.max(first_unexpired)..end;
    let (room, size) = (&request.room, request.size);
    let (messages, more) = messages::page(db, id, room, span, Direction::Forward, size)?;
    Ok(Missed {
        messages,
        more,
        complete: row.trimmed <= request.after && first_unexpired <= start,
    })
}
