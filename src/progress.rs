//! How far long work has got, and what those who wait for it are shown.
//!
//! The work stores a number whenever it likes, knows nobody who looks, and is cheap: [`watch`] looks ten times a second from
//! another thread and passes what it sees to a [`ProgressView`]: [`LogLines`], or the command line's line in the terminal.
//! What takes less than a moment is not shown at all.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use crate::sync::lock;

mod log_lines;
mod status;
mod tracker;

pub use log_lines::LogLines;
pub use status::{Status, Unit, bytes, count};
pub use tracker::{Look, Tracker};

/// How long work takes before anything is shown of it.
pub const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// The time between two looks at the work.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What long work reports, one task after another, and whether somebody wants it to stop.
#[derive(Debug, Default)]
pub struct Progress {
    // A std mutex: it is held for a few assignments, and never across an await.
    task: Mutex<Option<Task>>,
    done: AtomicU64,
    cancelled: AtomicBool,
}

/// A task that has begun.
#[derive(Clone, Debug)]
struct Task {
    what: Arc<str>,
    unit: Unit,
    /// `None` if nobody knows how much there is to do.
    total: Option<u64>,
    began: Instant,
    ended: Option<Instant>,
}

impl Progress {
    /// Begins the next task, such as "compacting the log"; the one before it is done. `total` is how much there is to do, if
    /// that is known.
    pub fn begin(&self, what: impl Into<Arc<str>>, unit: Unit, total: Option<u64>) {
        let mut task = lock(&self.task);
        self.done.store(0, Ordering::Relaxed);
        *task = Some(Task {
            what: what.into(),
            unit,
            total,
            began: Instant::now(),
            ended: None,
        });
    }

    /// How much of the task is done. An estimate may be over the total.
    pub fn set(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    /// The task is done. One that fails or is cancelled is left as it is.
    pub fn end(&self) {
        if let Some(task) = lock(&self.task).as_mut() {
            task.ended = Some(Instant::now());
            if let Some(total) = task.total {
                self.set(total);
            }
        }
    }

    /// Asks the work to stop as soon as it can, and to leave everything as it was.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether the work is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// The task and how much of it is done.
    fn current(&self) -> Option<(Task, u64)> {
        let task = lock(&self.task);
        let task = task.clone()?;
        Some((task, self.done.load(Ordering::Relaxed)))
    }
}

/// Shows somebody how far work has got.
pub trait ProgressView: Send {
    /// Is called ten times a second while the work lasts, and once when it has ended.
    fn show(&mut self, look: &Look, now: Instant);
}

/// Does `work` on this thread, and meanwhile shows its progress once a task takes longer than `shown_after`.
pub fn watch<T>(
    progress: &Progress,
    view: &mut dyn ProgressView,
    shown_after: Duration,
    work: impl FnOnce() -> T,
) -> T {
    thread::scope(|scope| {
        let (ended, end) = mpsc::channel::<()>();
        let look = move || {
            let mut tracker = Tracker::new(shown_after);
            while end.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let now = Instant::now();
                view.show(&tracker.look(progress, now), now);
            }
            let now = Instant::now();
            view.show(&tracker.look(progress, now), now);
            view.show(&tracker.finish(), now);
        };
        let watcher = thread::Builder::new().name("progress".into());
        // Without a thread to spare the work is done all the same, and nobody sees how far it is.
        let _ = watcher.spawn_scoped(scope, look);
        let result = work();
        drop(ended);
        result
    })
}

#[cfg(test)]
mod tests;
