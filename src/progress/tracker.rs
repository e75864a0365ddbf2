//! Follows work from look to look: whether it is worth showing, and how long it still takes. Pure: given the time.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Progress, Status, Task};

/// The rate is that of this last time, so that an estimate follows a disk that becomes slow.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// What one look at the work has found.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Nothing that takes long.
    Nothing,
    /// A task that takes long.
    Running(Status),
    /// A task that took long is done.
    Done(Status),
    /// A task that was shown has been cancelled, or has failed.
    Stopped,
}

/// Follows the tasks of one [`Progress`].
pub struct Tracker {
    shown_after: Duration,
    followed: Option<Followed>,
}

/// A task that has been seen.
struct Followed {
    task: Task,
    /// How much was done when, over the last [`RATE_WINDOW`], the oldest first.
    samples: VecDeque<(Instant, u64)>,
    seen: Instant,
    shown: bool,
    /// Its end has been told.
    over: bool,
}

impl Tracker {
    /// Tasks that take less than `shown_after` are nothing.
    pub fn new(shown_after: Duration) -> Self {
        Self {
            shown_after,
            followed: None,
        }
    }

    /// Looks at the work. The end of a task is told once, also if another one has begun meanwhile.
    pub fn look(&mut self, progress: &Progress, now: Instant) -> Look {
        let Some((task, done)) = progress.current() else {
            return Look::Nothing;
        };
        let followed = match self.followed.take() {
            Some(followed) if followed.task.began == task.began => followed,
            Some(before) if before.shown && !before.over => {
                // The next look finds the new one.
                let end = before.replaced(task.began);
                self.followed = Some(Followed::new(task, now));
                return end;
            }
            _ => Followed::new(task.clone(), now),
        };
        let followed = self.followed.insert(followed);
        followed.task = task;
        followed.record(now, done);
        followed.found(self.shown_after, done)
    }

    /// The work has ended: whatever is still running did not end well.
    pub fn finish(&mut self) -> Look {
        match self.followed.take() {
            Some(followed) if followed.shown && !followed.over => Look::Stopped,
            _ => Look::Nothing,
        }
    }
}

impl Followed {
    fn new(task: Task, now: Instant) -> Self {
        Self {
            samples: VecDeque::from([(task.began, 0)]),
            seen: now,
            task,
            shown: false,
            over: false,
        }
    }

    fn record(&mut self, now: Instant, done: u64) {
        self.seen = now;
        self.samples.push_back((now, done));
        let is_old = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) > RATE_WINDOW;
        // One sample from before the window stays, so that the rate is that of all of it.
        while self.samples.get(1).is_some_and(is_old) {
            self.samples.pop_front();
        }
    }

    fn found(&mut self, shown_after: Duration, done: u64) -> Look {
        if self.over {
            return Look::Nothing;
        }
        let end = self.task.ended.unwrap_or(self.seen);
        let status = self.status(done, end);
        if !self.shown && status.elapsed < shown_after {
            return Look::Nothing;
        }
        self.shown = true;
        self.over = self.task.ended.is_some();
        match self.over {
            true => Look::Done(status),
            false => Look::Running(status),
        }
    }

    /// The end of a task that another one has followed, at this time.
    fn replaced(&self, next: Instant) -> Look {
        let done = self.task.total.unwrap_or(0);
        Look::Done(self.status(done, self.task.ended.unwrap_or(next)))
    }

    fn status(&self, done: u64, at: Instant) -> Status {
        let done = self.task.total.map_or(done, |total| done.min(total));
        Status {
            what: self.task.what.clone(),
            unit: self.task.unit,
            done,
            total: self.task.total,
            elapsed: at.saturating_duration_since(self.task.began),
            left: self.left(done),
        }
    }

    /// How long the rest takes at the rate of the last seconds.
    fn left(&self, done: u64) -> Option<Duration> {
        let rest = self.task.total?.checked_sub(done)?;
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let time = last.0.saturating_duration_since(first.0).as_secs_f64();
        let advanced = last.1.checked_sub(first.1).filter(|done| *done > 0)?;
        let seconds = time * rest as f64 / advanced as f64;
        // What takes weeks has stalled.
        Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|left| *left < Duration::from_secs(30 * 24 * 3600))
    }
}
