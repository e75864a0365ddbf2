//! How much there is to delete. Reads no more than trimming does, and changes nothing.

use rusqlite::Connection;

use super::{STEP, expired_span};
use crate::{
    backend::{LogTime, Retention, sqlite::tables::rooms},
    model::RoomKey,
};

/// How many messages retention no longer keeps, over all rooms. `count` is how many messages there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::backend::sqlite) struct DueMessages {
    pub(in crate::backend::sqlite) due: u64,
    pub(in crate::backend::sqlite) count: u64,
}

/// Counts the messages that a pass over all rooms would delete.
pub(in crate::backend::sqlite) fn count_due(
    db: &Connection,
    retention: &Retention,
    now: LogTime,
) -> rusqlite::Result<DueMessages> {
    let mut messages = DueMessages::default();
    let mut after = 0;
    loop {
        let rooms = rooms::list_after(db, after, STEP)?;
        for (RoomKey { room, .. }, row) in &rooms {
            let (first, target) = expired_span(db, retention.policy(room), row, now)?;
            let end = row.head.next();
            messages.count += end.0.saturating_sub(first.0);
            messages.due += target.min(end).0.saturating_sub(first.0);
        }
        match rooms.last() {
            Some((_, row)) if rooms.len() == STEP => after = row.id,
            _ => return Ok(messages),
        }
    }
}
