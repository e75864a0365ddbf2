//! Progress as lines of the log: where nobody looks at a terminal.

use std::time::{Duration, Instant};

use super::{Look, ProgressView};

/// The time between two lines about one task.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// One line when a task turns out to take long, then one every few seconds, and one when it is done.
#[derive(Default)]
pub struct LogLines {
    /// When the last line about the running task was written.
    last: Option<Instant>,
}

impl LogLines {
    /// The line to write now, if any.
    pub(super) fn line(&mut self, look: &Look, now: Instant) -> Option<String> {
        match look {
            Look::Running(status) => {
                let is_due = self
                    .last
                    .is_none_or(|last| now.saturating_duration_since(last) >= LINE_INTERVAL);
                is_due.then(|| {
                    self.last = Some(now);
                    status.line()
                })
            }
            Look::Done(status) => {
                self.last = None;
                Some(status.end_line())
            }
            Look::Nothing => None,
            // Why it has stopped is for those to say who know.
            Look::Stopped => {
                self.last = None;
                None
            }
        }
    }
}

impl ProgressView for LogLines {
    fn show(&mut self, look: &Look, now: Instant) {
        if let Some(line) = self.line(look, now) {
            tracing::info!("{line}");
        }
    }
}
