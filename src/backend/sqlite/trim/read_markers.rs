//! The pass that deletes read markers nobody has set for long.

use std::time::Duration;

use rusqlite::Connection;

use super::STEP;
use crate::{
    backend::{
        LogTime, Retention,
        sqlite::tables::read_markers::{self, MarkerKey},
    },
    model::Timestamp,
};

/// How long to wait after a pass over all markers. Markers live for weeks, so that checking more often, or an index that
/// every marker would have to maintain, would gain little.
const PASS_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// The position of the pass over all markers.
#[derive(Default)]
pub(super) struct MarkerPass {
    /// The last marker that was checked.
    after: MarkerKey,
    /// When the last pass was completed.
    completed: Option<Timestamp>,
}

impl MarkerPass {
    /// Checks the next few markers, if a pass is due, and returns whether there are more.
    pub(super) fn step(
        &mut self,
        db: &Connection,
        retention: &Retention,
        now: LogTime,
    ) -> rusqlite::Result<bool> {
        let due = now.retention_clock.before(PASS_INTERVAL);
        if self.completed.is_some_and(|completed| completed > due) {
            return Ok(false);
        }
        let markers = read_markers::list_after(db, &self.after, STEP)?;
        for (key, room, ts) in &markers {
            if retention.policy(room).marker_expired(*ts, now) {
                read_markers::delete(db, key)?;
            }
        }
        let more = markers.len() == STEP;
        match markers.into_iter().last() {
            Some((last, ..)) if more => self.after = last,
            _ => {
                *self = Self {
                    completed: Some(now.retention_clock),
                    ..Self::default()
                }
            }
        }
        Ok(more)
    }
}
