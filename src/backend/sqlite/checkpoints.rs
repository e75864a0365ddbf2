//! Checkpoints: what was committed to the write-ahead log is copied into the database by a thread of its own, beside the writer.
//!
//! The log begins anew once all of it has been copied. The writer goes on meanwhile, so it copies the rest, which is short.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, hooks::Wal};

use super::{
    schema::{self, OpenError},
    threads::spawn,
};
use crate::{backend::Synchronous, retry::log_rarely};

/// How many pages the write-ahead log has when it is copied: 16 MB.
const PAGES: u32 = 4000;

/// The writer's end; the thread ends with it.
pub(super) struct Checkpoints {
    /// How long the write-ahead log is after the last commit, in pages.
    pages: Arc<AtomicU32>,
    schedule: Schedule,
    is_running: Arc<AtomicBool>,
    begin: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// Starts the thread for the database at `path`, instead of checkpoints on the writer's connection `db`.
    pub(super) fn start(
        db: &mut Connection,
        path: &Path,
        synchronous: Synchronous,
        busy_timeout: Duration,
    ) -> Result<Self, OpenError> {
        let own = schema::open_checkpointer(path, synchronous, busy_timeout)?;
        let (begin, begun) = mpsc::channel();
        let is_running = Arc::<AtomicBool>::default();
        let running = is_running.clone();
        let thread = spawn("log-checkpointer", move || {
            while begun.recv().is_ok() {
                checkpoint(&own);
                running.store(false, Ordering::Release);
            }
        })?;
        let pages = Arc::<AtomicU32>::default();
        let seen = pages.clone();
        let hook = move |_: &mut Wal, pages: i32| {
            seen.store(pages.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        };
        db.wal_hook(Some(hook))
            .map_err(|source| OpenError::database(path, source))?;
        Ok(Self {
            pages,
            schedule: Schedule::default(),
            is_running,
            begin,
            thread,
        })
    }

    /// Call it after each commit.
    pub(super) fn advance(&mut self, db: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        let is_running = self.is_running.load(Ordering::Acquire);
        match self.schedule.next(pages, is_running) {
            Step::Nothing => {}
            Step::Begin => {
                self.is_running.store(true, Ordering::Release);
                // The thread ends with this.
                let _ = self.begin.send(());
            }
            Step::Finish => checkpoint(db),
        }
    }

    /// Waits for a checkpoint in progress, and ends the thread.
    pub(super) fn stop(self) {
        drop(self.begin);
        if self.thread.join().is_err() {
            tracing::error!("a thread of the log has panicked");
        }
    }
}

/// Copies as much as readers allow.
fn checkpoint(db: &Connection) {
    let copied = db
        .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")
        .and_then(|mut statement| statement.query_row([], |_| Ok(())));
    if let Err(error) = copied {
        log_rarely!(warn, %error, "a checkpoint of the log failed; nothing is lost, and the next one may succeed");
    }
}

/// What is to be done after a commit.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// The thread is to copy.
    Begin,
    /// The thread has copied; the writer is to copy the rest.
    Finish,
}

/// When there is a checkpoint.
struct Schedule {
    /// How long the write-ahead log was after the last commit.
    pages: u32,
    /// How long it is when the next checkpoint begins.
    due: u32,
    has_begun: bool,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            pages: 0,
            due: PAGES,
            has_begun: false,
        }
    }
}

impl Schedule {
    fn next(&mut self, pages: u32, is_running: bool) -> Step {
        if pages < self.pages {
            // It has begun anew.
            self.due = PAGES;
        }
        self.pages = pages;
        if self.has_begun && !is_running {
            self.has_begun = false;
            // Later, if a reader keeps it from beginning anew.
            self.due = pages.saturating_add(PAGES);
            return Step::Finish;
        }
        if !self.has_begun && pages >= self.due {
            self.has_begun = true;
            return Step::Begin;
        }
        Step::Nothing
    }
}

#[cfg(test)]
mod tests;
