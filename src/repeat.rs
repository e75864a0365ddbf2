//! What happens again and again: attempts that fail, with a growing wait between them, and log lines about it, with a rate.
//!
//! Every loop that retries waits by a [`Backoff`], every line that a client, a peer or a broken store can repeat asks a
//! [`LogRate`] first (`log_rarely!`, `log_in_bursts!`).

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How often a line is repeated while its reason lasts.
pub const LOG_PERIOD: Duration = Duration::from_secs(30);

/// How many lines about single clients there may be in that time, for each place in the code.
pub const BURST: u64 = 100;

/// How long to wait between attempts: twice as long after each that fails, up to a bound, and at random between half of that
/// and all of it ("equal jitter"), so that many that failed together do not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits that begin at `first` and grow to `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: first,
        }
    }

    /// An attempt failed: how long to wait before the next.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next.min(self.most);
        self.next = wait.saturating_mul(2).min(self.most);
        wait.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Waits before the next attempt.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_wait()).await;
    }

    /// An attempt succeeded: the next failure is a first one.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// How often something is logged that may repeat without end: the first time at once, then so many lines a period.
///
/// Something that lasts, such as a store that is away, is logged by [`due`](Self::due) while it does, and once more when
/// [`over`](Self::over) says how long it was.
#[derive(Debug)]
pub struct LogRate {
    most: u64,
    period: Duration,
    // A std mutex: it is held for a few assignments, and never across an await.
    state: Mutex<Option<Lasting>>,
}

/// Something that has been logged, and may repeat.
#[derive(Debug)]
struct Lasting {
    since: Instant,
    times: u64,
    /// When the present period began, and the lines in it.
    period: Instant,
    lines: u64,
    /// Since the last line.
    left_out: u64,
}

/// What was logged and is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// How long it lasted.
    pub lasted: Duration,
    /// How often it happened.
    pub times: u64,
}

impl LogRate {
    /// One line in [`LOG_PERIOD`].
    pub const fn new() -> Self {
        Self::of(1, LOG_PERIOD)
    }

    /// `most` lines in each `period`.
    pub const fn of(most: u64, period: Duration) -> Self {
        Self {
            most,
            period,
            state: Mutex::new(None),
        }
    }

    /// It happened: whether to log it, and how many times it was left out since it was logged last.
    pub fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    /// As [`due`](Self::due), at a given time.
    pub fn due_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.lock();
        let lasting = state.get_or_insert(Lasting {
            since: now,
            times: 0,
            period: now,
            lines: 0,
            left_out: 0,
        });
        lasting.times += 1;
        if now.saturating_duration_since(lasting.period) >= self.period {
            (lasting.period, lasting.lines) = (now, 0);
        }
        if lasting.lines >= self.most {
            lasting.left_out += 1;
            return None;
        }
        lasting.lines += 1;
        Some(std::mem::take(&mut lasting.left_out))
    }

    /// It happens no more: what to say of that, if it was logged. The next time is a first one.
    pub fn over(&self) -> Option<Over> {
        self.over_at(Instant::now())
    }

    /// As [`over`](Self::over), at a given time.
    pub fn over_at(&self, now: Instant) -> Option<Over> {
        let lasting = self.lock().take()?;
        Some(Over {
            lasted: now.saturating_duration_since(lasting.since),
            times: lasting.times,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lasting>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LogRate {
    fn default() -> Self {
        Self::new()
    }
}

/// Logs a line that may repeat without end, one in [`LOG_PERIOD`] for this place in the code, with how many were `left_out`:
/// `log_rarely!(warn, %error, "what happened")`.
macro_rules! log_rarely {
    ($level:ident, $($line:tt)+) => {{
        static RATE: $crate::repeat::LogRate = $crate::repeat::LogRate::new();
        $crate::repeat::log_at!(RATE, $level, $($line)+)
    }};
}

/// The same for what single clients do: [`BURST`] lines in [`LOG_PERIOD`], so that each shows as long as they are few.
macro_rules! log_in_bursts {
    ($level:ident, $($line:tt)+) => {{
        static RATE: $crate::repeat::LogRate =
            $crate::repeat::LogRate::of($crate::repeat::BURST, $crate::repeat::LOG_PERIOD);
        $crate::repeat::log_at!(RATE, $level, $($line)+)
    }};
}

/// Logs a line if its rate allows it: `log_at!(self.rate, warn, %error, "what happened")`.
macro_rules! log_at {
    ($rate:expr, $level:ident, $($line:tt)+) => {
        match $rate.due() {
            Some(0) => tracing::$level!($($line)+),
            Some(left_out) => tracing::$level!(left_out, $($line)+),
            None => {}
        }
    };
}

pub(crate) use {log_at, log_in_bursts, log_rarely};

#[cfg(test)]
mod tests;
