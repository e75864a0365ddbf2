//! The log's clock, which does not trust jumps of the machine's clock.
//!
//! Clocks jump: a machine is set by hand, comes back from a snapshot, or asks a time server that is wrong. A year ahead for a
//! minute would date messages a year ahead, in rooms whose times never fall, and delete all that is kept by age. So:
//!
//! - **A jump is accepted only when it has lasted.** Until then time continues by the monotonic clock. Messages are dated by
//!   this time, and ids and sessions expire by it.
//! - **Age is measured by a clock of its own that runs at double speed at most**: it gains a day a day. It starts where it was
//!   when the log was last open, so that neither a jump nor a start with a wrong clock deletes more than the time that has
//!   passed. After a log was closed for a week, messages are kept for up to a week longer.
//!
//! [`ClockGuard`] is pure; [`system_clock`] feeds it the clocks of the machine.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    model::Timestamp,
    retry::{LogLimiter, log_at, log_rarely},
    sync::lock,
};

/// A smaller difference is not a jump: clocks are corrected, and machines pause.
const JUMP: Duration = Duration::from_secs(60);

/// How long a jump must last before it is accepted.
const ACCEPT_AFTER: Duration = Duration::from_secs(600);

/// How far the retention clock may be behind before that is logged.
const LAG_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// How often it is logged.
const LAG_LOG_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// A reading of the log's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogTime {
    /// The time that messages are dated by, and by which ids and sessions expire.
    pub(super) now: Timestamp,
    /// The time by which the age of messages is measured; never later than `now`.
    pub(super) retention_clock: Timestamp,
}

impl LogTime {
    /// The time `time` before now.
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

/// The clock of a log.
pub(super) type Clock = Arc<dyn Fn() -> LogTime + Send + Sync>;

/// The clock of a log whose retention clock was last saved at `retention_clock`.
pub(super) fn system_clock(retention_clock: Option<Timestamp>) -> Clock {
    clock_from(retention_clock, || (Timestamp::now(), Instant::now()))
}

/// As [`system_clock`], with given clocks: one that may jump, and a monotonic one.
fn clock_from(
    retention_clock: Option<Timestamp>,
    clocks: impl Fn() -> (Timestamp, Instant) + Send + Sync + 'static,
) -> Clock {
    let (wall, at) = clocks();
    let guard = Mutex::new(ClockGuard::new(retention_clock, wall, at));
    let lag_limiter = LogLimiter::with_limit(1, LAG_LOG_INTERVAL);
    Arc::new(move || {
        let mut guard = lock(&guard);
        // Under the lock, so that readings never go back.
        let (wall, at) = clocks();
        let (time, change) = guard.read(wall, at);
        drop(guard);
        if let Some(change) = change {
            change.log();
        }
        let behind = time.retention_clock.until(time.now);
        if behind > LAG_LIMIT {
            log_at!(
                lag_limiter,
                warn,
                ?behind,
                "retention is behind the clock: messages are kept longer than configured until it has caught up"
            );
        }
        time
    })
}

/// A change in whether the machine's clock is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClockChange {
    /// It has jumped, ahead or behind.
    Jumped { ahead: Duration, behind: Duration },
    /// It has returned from its jump.
    Back,
    /// It has stayed where it jumped to, and is trusted.
    Accepted,
}

impl ClockChange {
    fn log(self) {
        match self {
            Self::Jumped { ahead, behind } => log_rarely!(warn,
                ?ahead,
                ?behind,
                accepted_after = ?ACCEPT_AFTER,
                "the system clock has jumped; ignoring it until it has stayed there"
            ),
            Self::Back => log_rarely!(info, "the system clock has returned from its jump"),
            Self::Accepted => {
                log_rarely!(
                    warn,
                    "the system clock has stayed where it jumped to; accepting it"
                );
            }
        }
    }
}

#[derive(Debug)]
struct ClockGuard {
    /// The last reading, and when that was by the monotonic clock.
    last: LogTime,
    at: Instant,
    /// Since when the system clock is off.
    jumped_since: Option<Instant>,
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
            jumped_since: None,
        }
    }

    fn read(&mut self, wall: Timestamp, at: Instant) -> (LogTime, Option<ClockChange>) {
        let passed = at.saturating_duration_since(self.at);
        let expected = later(self.last.now, passed);
        let (ahead, behind) = (expected.until(wall), wall.until(expected));
        let (now, change) = match (ahead.max(behind) > JUMP, self.jumped_since) {
            (false, jumped) => (wall, jumped.map(|_| ClockChange::Back)),
            (true, None) => (expected, Some(ClockChange::Jumped { ahead, behind })),
            (true, Some(since)) if at.saturating_duration_since(since) < ACCEPT_AFTER => {
                (expected, None)
            }
            (true, Some(_)) => (wall, Some(ClockChange::Accepted)),
        };
        self.jumped_since = match change {
            Some(ClockChange::Jumped { .. }) => Some(at),
            Some(ClockChange::Back | ClockChange::Accepted) => None,
            None => self.jumped_since,
        };
        let retention_clock = later(self.last.retention_clock, passed * 2).min(now);
        // Timestamps are whole milliseconds: with faster calls the clock would never advance.
        if passed >= Duration::from_millis(1) || now < self.last.now || change.is_some() {
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
            change,
        )
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp(time.0.saturating_add(by))
}

/// A system clock that a test sets.
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

        /// The clock of a log whose retention clock was last saved at `retention_clock`.
        pub(in crate::backend) fn clock(&self, retention_clock: Option<Timestamp>) -> Clock {
            let machine = self.0.clone();
            clock_from(retention_clock, move || *machine.lock().unwrap())
        }

        /// Lets time pass.
        pub(in crate::backend) fn pass(&self, time: Duration) {
            let mut clocks = self.0.lock().unwrap();
            *clocks = (later(clocks.0, time), clocks.1 + time);
        }

        /// Sets the clock forward, without time passing.
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
