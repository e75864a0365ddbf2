//! The time, for whoever does not believe everything that a clock says.
//!
//! Clocks jump: a machine is set by hand, comes back from a snapshot, or asks a time server that is wrong. A year ahead for a
//! minute would date messages a year ahead, in rooms whose times never fall, and delete all that is kept by age. So:
//!
//! - **A jump is believed only when it has lasted.** Until then time goes on by the monotonic clock. Messages are dated by this, and ids
//!   and sessions expire by it.
//! - **What is old is told by a time that runs at double speed at most**: it gains a day a day. It begins where it was when the log was
//!   last open, so that neither a jump nor a start with a wrong clock deletes more than the time that has passed. After a log was
//!   closed for a week, things are kept for up to a week longer.
//!
//! [`ClockGuard`] is pure; [`clock`] reads it by the clocks of the machine.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    model::Timestamp,
    repeat::{LogRate, log_at, log_rarely},
};

/// What differs by less is no jump: clocks are corrected, and machines pause.
const JUMP: Duration = Duration::from_secs(60);

/// For so long a jump is not believed.
const HOLD: Duration = Duration::from_secs(600);

/// By how much the time of retention may be behind before that is logged, and how often.
const BEHIND: Duration = Duration::from_secs(24 * 3600);
const QUIET: Duration = Duration::from_secs(6 * 3600);

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogTime {
    /// What messages are dated by, and ids and sessions expire by.
    pub(super) now: Timestamp,
    /// What is kept by age is compared with this; never later than `now`.
    pub(super) retention_clock: Timestamp,
}

impl LogTime {
    /// So long before now.
    pub(super) fn before(self, time: Duration) -> Timestamp {
        self.now.before(time)
    }
}

impl From<Timestamp> for LogTime {
    fn from(now: Timestamp) -> Self {
        Self {
            now,
            retention_clock: now,
        }
    }
}

/// Where a log takes the time from.
pub(super) type Clock = Arc<dyn Fn() -> LogTime + Send + Sync>;

/// A clock for a log whose time of retention was `aged` when it was last known.
pub(super) fn system_clock(retention_clock: Option<Timestamp>) -> Clock {
    by(retention_clock, || (Timestamp::now(), Instant::now()))
}

/// The same by other clocks than the machine's: one that may jump, and one that does not.
fn by(
    retention_clock: Option<Timestamp>,
    clocks: impl Fn() -> (Timestamp, Instant) + Send + Sync + 'static,
) -> Clock {
    let (wall, at) = clocks();
    let guard = Mutex::new(ClockGuard::new(retention_clock, wall, at));
    let lines = LogRate::of(1, QUIET);
    Arc::new(move || {
        let mut guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that what is read never goes back.
        let (wall, at) = clocks();
        let (time, news) = guard.read(wall, at);
        drop(guard);
        if let Some(news) = news {
            news.log();
        }
        let behind = time.retention_clock.until(time.now);
        if behind > BEHIND {
            log_at!(
                lines,
                warn,
                ?behind,
                "messages are kept longer than their age: the clock has got ahead of the log by this, which is made up for by a day a day"
            );
        }
        time
    })
}

/// What becomes known of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It has jumped; how far ahead or behind it is.
    Jumped { ahead: Duration, behind: Duration },
    /// It is back.
    Back,
    /// It has stayed where it jumped to.
    Believed,
}

impl News {
    fn log(self) {
        match self {
            Self::Jumped { ahead, behind } => log_rarely!(warn,
                ?ahead,
                ?behind,
                believed_after = ?HOLD,
                "the clock of this machine has jumped; time goes on as before until it has stayed there"
            ),
            Self::Back => log_rarely!(info, "the clock of this machine is back from its jump"),
            Self::Believed => {
                log_rarely!(
                    warn,
                    "the clock of this machine stays where it jumped to, and is believed"
                );
            }
        }
    }
}

#[derive(Debug)]
struct ClockGuard {
    /// What was read last, and when that was by the monotonic clock.
    last: LogTime,
    at: Instant,
    /// Since when the clock is somewhere else.
    elsewhere: Option<Instant>,
}

impl ClockGuard {
    fn new(retention_clock: Option<Timestamp>, wall: Timestamp, at: Instant) -> Self {
        let retention_clock = retention_clock.unwrap_or(wall).min(wall);
        Self {
            last: LogTime {
                now: wall,
                retention_clock,
            },
            at,
            elsewhere: None,
        }
    }

    fn read(&mut self, wall: Timestamp, at: Instant) -> (LogTime, Option<News>) {
        let passed = at.saturating_duration_since(self.at);
        let expected = later(self.last.now, passed);
        let (ahead, behind) = (expected.until(wall), wall.until(expected));
        let (now, news) = match (ahead.max(behind) > JUMP, self.elsewhere) {
            (false, elsewhere) => (wall, elsewhere.map(|_| News::Back)),
            (true, None) => (expected, Some(News::Jumped { ahead, behind })),
            (true, Some(since)) if at.saturating_duration_since(since) < HOLD => (expected, None),
            (true, Some(_)) => (wall, Some(News::Believed)),
        };
        self.elsewhere = match news {
            Some(News::Jumped { .. }) => Some(at),
            Some(News::Back | News::Believed) => None,
            None => self.elsewhere,
        };
        let retention_clock = later(self.last.retention_clock, passed * 2).min(now);
        // In whole milliseconds nothing would pass between two calls that come faster.
        if passed >= Duration::from_millis(1) || now < self.last.now || news.is_some() {
            (self.last, self.at) = (
                LogTime {
                    now,
                    retention_clock,
                },
                at,
            );
        }
        (
            LogTime {
                now,
                retention_clock,
            },
            news,
        )
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp(time.0.saturating_add(by))
}

/// A machine whose clock a test sets.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    #[derive(Clone)]
    pub(in crate::backend) struct FakeClock(Arc<Mutex<(Timestamp, Instant)>>);

    impl FakeClock {
        pub(in crate::backend) fn new() -> Self {
            let begin = (Timestamp(1_711_000_000_000), Instant::now());
            Self(Arc::new(Mutex::new(begin)))
        }

        /// A clock of a log that was last open when it was `aged`.
        pub(in crate::backend) fn clock(&self, retention_clock: Option<Timestamp>) -> Clock {
            let machine = self.0.clone();
            by(retention_clock, move || *machine.lock().unwrap())
        }

        /// Time passes.
        pub(in crate::backend) fn pass(&self, time: Duration) {
            let mut clocks = self.0.lock().unwrap();
            *clocks = (later(clocks.0, time), clocks.1 + time);
        }

        /// The clock is set forward, or back again.
        pub(in crate::backend) fn jump(&self, ahead: Duration) {
            let mut clocks = self.0.lock().unwrap();
            clocks.0 = later(clocks.0, ahead);
        }

        pub(in crate::backend) fn jump_back(&self, by: Duration) {
            let mut clocks = self.0.lock().unwrap();
            clocks.0 = clocks.0.before(by);
        }
    }
}

#[cfg(test)]
mod tests;
