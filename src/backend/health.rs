//! Health checks of what a log needs: writing, reading, receiving what other nodes publish.
//!
//! Code that does such a thing records the result with a [`HealthCheck`]; while nothing does it, a probe does. The checks
//! decide what `/readyz` returns, what the metric `ready` shows, and what is logged: once when a check begins to fail, with
//! the reason, and once when it passes again.
//!
//! A failure that concerns one room only, because its stored data is damaged, is not recorded here: other rooms can be
//! served.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Result},
    retry::{Backoff, LogLimiter},
    sync::lock,
};

/// A check is probed when it was not exercised for this long.
pub(super) const PROBE_IDLE: Duration = Duration::from_secs(5);

/// How long a check must not have failed before it passes again: near a limit, small operations succeed where large ones
/// fail.
const RECOVERY_TIME: Duration = Duration::from_secs(1);

/// How long the result of a probe is reused.
const PROBE_TTL: Duration = Duration::from_secs(1);

/// How soon a failing check is probed again.
const RETRY_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));

/// All checks of a log.
#[derive(Debug, Default)]
pub struct Health(Vec<Arc<HealthCheck>>);

/// A check that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCheck {
    /// The check's name, as in the metric.
    pub check: &'static str,
    /// The shard, if there are several.
    pub shard: Option<u8>,
    /// The reason.
    pub reason: String,
}

impl Health {
    /// Adds a check. It passes until a failure is recorded.
    pub(super) fn add_check(&mut self, name: &'static str, shard: Option<u8>) -> Arc<HealthCheck> {
        let check = Arc::new(HealthCheck {
            name,
            shard,
            // A store that keeps failing and recovering must not flood the log.
            log_limiter: LogLimiter::with_limit(10, Duration::from_secs(60)),
            state: Mutex::default(),
        });
        self.0.push(check.clone());
        check
    }

    /// The checks that fail now.
    pub fn failing(&self) -> Vec<FailedCheck> {
        self.0.iter().filter_map(|check| check.failing()).collect()
    }

    /// Every check by name, and whether it passes in all shards.
    pub fn checks(&self) -> Vec<(&'static str, bool)> {
        let mut checks: Vec<(&'static str, bool)> = Vec::new();
        for check in &self.0 {
            let passes = check.failing().is_none();
            match checks.iter_mut().find(|(name, _)| *name == check.name) {
                Some((_, all_pass)) => *all_pass &= passes,
                None => checks.push((check.name, passes)),
            }
        }
        checks
    }

    /// Returns an error unless all checks pass.
    ///
    /// # Errors
    /// Fails with `unavailable`, the name of the first failing check and the reason.
    pub fn ensure_passing(&self) -> Result<()> {
        let failing = self.failing();
        // If sixteen shards behind one server fail, the first reason is enough.
        let Some(FailedCheck {
            check,
            shard,
            reason,
        }) = failing.first()
        else {
            return Ok(());
        };
        let more = match failing.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let shard = shard.map(|shard| format!(" in shard {shard}"));
        let shard = shard.unwrap_or_default();
        Err(Error::unavailable(format!(
            "{check} fails{shard}: {reason}{more}"
        )))
    }
}

/// One check.
#[derive(Debug)]
pub(super) struct HealthCheck {
    name: &'static str,
    shard: Option<u8>,
    log_limiter: LogLimiter,
    // A std mutex: it is held for a few assignments, and never across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_success: Option<Instant>,
    failing: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    reason: String,
    since: Instant,
    last: Instant,
    times: u64,
}

impl HealthCheck {
    /// Records a failure.
    pub(super) fn record_failure(&self, reason: impl Into<String>) {
        self.record_failure_at(reason.into(), Instant::now());
    }

    fn record_failure_at(&self, reason: String, now: Instant) {
        let mut state = self.lock();
        if let Some(failure) = &mut state.failing {
            failure.last = now;
            failure.times += 1;
            failure.reason = reason;
            return;
        }
        if let Some(suppressed) = self.log_limiter.allow_at(now) {
            tracing::error!(
                check = self.name,
                shard = self.shard,
                reason,
                suppressed,
                "storage fails; requests that need it are refused, and this node is not ready until it works"
            );
        }
        state.failing = Some(Failure {
            reason,
            since: now,
            last: now,
            times: 1,
        });
    }

    /// Records a success. After a failure, the check passes again once it has not failed for [`RECOVERY_TIME`].
    pub(super) fn record_success(&self) {
        self.record_success_at(Instant::now());
    }

    fn record_success_at(&self, now: Instant) {
        let mut state = self.lock();
        state.last_success = Some(now);
        let settled = |failure: &mut Failure| now.duration_since(failure.last) >= RECOVERY_TIME;
        if let Some(failure) = state.failing.take_if(settled) {
            let lasted = now.duration_since(failure.since);
            let Failure { times, reason, .. } = failure;
            if let Some(suppressed) = self.log_limiter.allow_at(now) {
                tracing::info!(
                    check = self.name,
                    shard = self.shard,
                    ?lasted,
                    times,
                    reason,
                    suppressed,
                    "storage works again"
                );
            }
        }
    }

    /// Whether it succeeded within `time`, and does not fail.
    pub(super) fn succeeded_within(&self, time: Duration) -> bool {
        let state = self.lock();
        let is_recent = state.last_success.is_some_and(|at| at.elapsed() < time);
        is_recent && state.failing.is_none()
    }

    /// The failure, if the check fails.
    pub(super) fn failing(&self) -> Option<FailedCheck> {
        let state = self.lock();
        state.failing.as_ref().map(|failure| FailedCheck {
            check: self.name,
            shard: self.shard,
            reason: failure.reason.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// When to probe a check that nothing exercises.
#[derive(Debug)]
pub(super) struct ProbeSchedule {
    check: Arc<HealthCheck>,
    backoff: Backoff,
}

impl ProbeSchedule {
    pub(super) fn of(check: Arc<HealthCheck>) -> Self {
        Self {
            check,
            backoff: RETRY_BACKOFF,
        }
    }

    /// How long to wait until [`is_due`](Self::is_due) is to be checked.
    pub(super) fn delay(&mut self) -> Duration {
        if self.check.failing().is_some() {
            return self.backoff.next_delay();
        }
        self.backoff.reset();
        let last_success = self.check.lock().last_success;
        let left = last_success.map_or(PROBE_IDLE, |at| PROBE_IDLE.saturating_sub(at.elapsed()));
        left.max(PROBE_IDLE / 100)
    }

    /// The check to probe.
    pub(super) fn check(&self) -> &HealthCheck {
        &self.check
    }

    /// Whether the check was not exercised lately, or fails.
    pub(super) fn is_due(&self) -> bool {
        !self.check.succeeded_within(PROBE_IDLE)
    }
}

/// Runs probes on demand, at most one per [`PROBE_TTL`] for all callers.
#[derive(Debug, Default)]
pub(super) struct ProbeThrottle(tokio::sync::Mutex<Option<Instant>>);

impl ProbeThrottle {
    /// Runs the probe, unless one was run a moment ago.
    pub(super) async fn probe(&self, probe: impl Future<Output = ()>) {
        let mut last = self.0.lock().await;
        if last.is_none_or(|last| last.elapsed() >= PROBE_TTL) {
            probe.await;
            *last = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
