//! Retries: exponential backoff between attempts, and rate-limited logging of what keeps failing.
//!
//! Every loop that retries waits by a [`Backoff`]. Every log line that a client, a peer or a broken store can repeat without
//! end goes through a [`LogLimiter`] (`log_rarely!`, `log_in_bursts!`).

use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::sync::lock;

/// The minimum time between two lines about the same condition.
pub const LOG_PERIOD: Duration = Duration::from_secs(30);

/// The maximum number of lines about single clients in a [`LOG_PERIOD`], per place in the code.
pub const LOG_BURST: u64 = 100;

/// Exponential backoff with equal jitter: the delay doubles after each failure, up to a maximum, and a random part of at
/// least half of it is used, so that clients that failed together do not retry together.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// A backoff with delays from `initial` to `max`.
    pub const fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max,
            next: initial,
        }
    }

    /// Returns the delay after a failed attempt.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next.min(self.max);
        self.next = delay.saturating_mul(2).min(self.max);
        delay.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Sleeps before the next attempt.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }

    /// Resets the delay after an attempt that succeeded.
    pub fn reset(&mut self) {
        self.next = self.initial;
    }
}

/// Rate limiter for log lines: the first is logged at once, then up to a maximum per period.
///
/// A condition that lasts, such as a store that is down, is logged when [`allow`](Self::allow) permits, and once more when it
/// ends, with the duration that [`finish`](Self::finish) returns.
#[derive(Debug)]
pub struct LogLimiter {
    max_lines: u64,
    period: Duration,
    // A std mutex: it is held for a few assignments, never across an await.
    state: Mutex<Option<Ongoing>>,
}

/// A condition that has been logged and may repeat.
#[derive(Debug)]
struct Ongoing {
    since: Instant,
    times: u64,
    /// When the current period began, and the lines logged in it.
    period: Instant,
    lines: u64,
    /// Lines suppressed since the last one that was logged.
    suppressed: u64,
}

/// A condition that was logged and has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    /// How long it lasted.
    pub lasted: Duration,
    /// How often it occurred.
    pub times: u64,
}

impl LogLimiter {
    /// A limiter of one line per [`LOG_PERIOD`].
    pub const fn new() -> Self {
        Self::with_limit(1, LOG_PERIOD)
    }

    /// A limiter of `max_lines` lines per `period`.
    pub const fn with_limit(max_lines: u64, period: Duration) -> Self {
        Self {
            max_lines,
            period,
            state: Mutex::new(None),
        }
    }

    /// Records an occurrence. Returns the number of lines suppressed since the last one if this one may be logged.
    pub fn allow(&self) -> Option<u64> {
        self.allow_at(Instant::now())
    }

    /// As [`allow`](Self::allow), at a given time.
    pub fn allow_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.lock();
        let ongoing = state.get_or_insert(Ongoing {
            since: now,
            times: 0,
            period: now,
            lines: 0,
            suppressed: 0,
        });
        ongoing.times += 1;
        if now.saturating_duration_since(ongoing.period) >= self.period {
            (ongoing.period, ongoing.lines) = (now, 0);
        }
        if ongoing.lines >= self.max_lines {
            ongoing.suppressed += 1;
            return None;
        }
        ongoing.lines += 1;
        Some(std::mem::take(&mut ongoing.suppressed))
    }

    /// Ends the condition; returns its duration if it had been logged. The next occurrence is a first one.
    pub fn finish(&self) -> Option<Episode> {
        self.finish_at(Instant::now())
    }

    /// As [`finish`](Self::finish), at a given time.
    pub fn finish_at(&self, now: Instant) -> Option<Episode> {
        let ongoing = self.lock().take()?;
        Some(Episode {
            lasted: now.saturating_duration_since(ongoing.since),
            times: ongoing.times,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Ongoing>> {
        lock(&self.state)
    }
}

impl Default for LogLimiter {
    fn default() -> Self {
        Self::new()
    }
}

/// Logs a line at most once per [`LOG_PERIOD`] and place in the code, with the number of lines `suppressed` in between:
/// `log_rarely!(warn, %error, "what happened")`.
macro_rules! log_rarely {
    ($level:ident, $($line:tt)+) => {{
        static LIMITER: $crate::retry::LogLimiter = $crate::retry::LogLimiter::new();
        $crate::retry::log_at!(LIMITER, $level, $($line)+)
    }};
}

/// Logs a line about a single client: at most [`LOG_BURST`] lines per [`LOG_PERIOD`] and place in the code.
macro_rules! log_in_bursts {
    ($level:ident, $($line:tt)+) => {{
        static LIMITER: $crate::retry::LogLimiter =
            $crate::retry::LogLimiter::with_limit($crate::retry::LOG_BURST, $crate::retry::LOG_PERIOD);
        $crate::retry::log_at!(LIMITER, $level, $($line)+)
    }};
}

/// Logs a line if its limiter allows it: `log_at!(self.log_limiter, warn, %error, "what happened")`.
macro_rules! log_at {
    ($limiter:expr, $level:ident, $($line:tt)+) => {
        match $limiter.allow() {
            Some(0) => tracing::$level!($($line)+),
            Some(suppressed) => tracing::$level!(suppressed, $($line)+),
            None => {}
        }
    };
}

pub(crate) use {log_at, log_in_bursts, log_rarely};

#[cfg(test)]
mod tests;
