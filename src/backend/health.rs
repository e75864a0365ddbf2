//! Whether what a log needs does work: writing, reading, hearing what other nodes publish.
//!
//! Whoever does such a thing notes how it went with a [`HealthCheck`]; where nobody does it, a probe does. What is noted here is
//! what `/readyz` answers, what the metric `ready` shows, and what is logged: once when it begins to fail, with the reason,
//! and once when it works again.
//!
//! What fails for one room only, because something else than ours lies where its messages should be, is noted nowhere here:
//! the others can be served.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Result},
    repeat::{Backoff, LogRate},
};

/// How long nothing was written before it is tried whether that can be done.
pub(super) const PROBE_IDLE: Duration = Duration::from_secs(5);

/// How long something must not have failed before it counts as working again: on the brink, small things succeed where
/// large ones fail.
const SETTLED: Duration = Duration::from_secs(1);

/// For so long the answer of a probe is as good as new.
const FRESH: Duration = Duration::from_secs(1);

/// How soon something that fails is tried again.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));

/// All that has to work.
#[derive(Debug, Default)]
pub struct Health(Vec<Arc<HealthCheck>>);

/// Something that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCheck {
    /// What, as the metric has it.
    pub check: &'static str,
    /// In which shard, where there are several.
    pub shard: Option<u8>,
    /// Why.
    pub reason: String,
}

impl Health {
    /// Adds something that has to work; until anything is noted of it, it is believed to.
    pub(super) fn watch(&mut self, check: &'static str, shard: Option<u8>) -> Arc<HealthCheck> {
        let watch = Arc::new(HealthCheck {
            check,
            shard,
            // A store that fails and works by turns fills no log either.
            lines: LogRate::of(10, Duration::from_secs(60)),
            state: Mutex::default(),
        });
        self.0.push(watch.clone());
        watch
    }

    /// What fails now.
    pub fn failing(&self) -> Vec<FailedCheck> {
        self.0.iter().filter_map(|watch| watch.failing()).collect()
    }

    /// Every check, once, and whether it works everywhere.
    pub fn checks(&self) -> Vec<(&'static str, bool)> {
        let mut checks: Vec<(&'static str, bool)> = Vec::new();
        for watch in &self.0 {
            let works = watch.failing().is_none();
            match checks.iter_mut().find(|(check, _)| *check == watch.check) {
                Some((_, all)) => *all &= works,
                None => checks.push((watch.check, works)),
            }
        }
        checks
    }

    /// `unavailable`, with what fails and why, unless all works.
    pub fn ensure_passing(&self) -> Result<()> {
        let failing = self.failing();
        // Of sixteen shards behind one server the first says it all.
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

/// One thing that has to work.
#[derive(Debug)]
pub(super) struct HealthCheck {
    check: &'static str,
    shard: Option<u8>,
    lines: LogRate,
    // A std mutex: it is held for a few assignments, and never across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    worked: Option<Instant>,
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
    /// It failed, for this reason.
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
        if let Some(left_out) = self.lines.due_at(now) {
            tracing::error!(
                check = self.check,
                shard = self.shard,
                reason,
                left_out,
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

    /// It worked. That it works again is believed once it has not failed for a moment.
    pub(super) fn record_success(&self) {
        self.record_success_at(Instant::now());
    }

    fn record_success_at(&self, now: Instant) {
        let mut state = self.lock();
        state.worked = Some(now);
        let settled = |failure: &mut Failure| now.duration_since(failure.last) >= SETTLED;
        if let Some(failure) = state.failing.take_if(settled) {
            let lasted = now.duration_since(failure.since);
            let Failure { times, reason, .. } = failure;
            if let Some(left_out) = self.lines.due_at(now) {
                tracing::info!(
                    check = self.check,
                    shard = self.shard,
                    ?lasted,
                    times,
                    reason,
                    left_out,
                    "storage works again"
                );
            }
        }
    }

    /// Whether it worked in the last so long, and does not fail.
    pub(super) fn succeeded_within(&self, time: Duration) -> bool {
        let state = self.lock();
        let worked = state.worked.is_some_and(|worked| worked.elapsed() < time);
        worked && state.failing.is_none()
    }

    /// What fails of it.
    pub(super) fn failing(&self) -> Option<FailedCheck> {
        let state = self.lock();
        state.failing.as_ref().map(|failure| FailedCheck {
            check: self.check,
            shard: self.shard,
            reason: failure.reason.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When to try whether something works that nobody does.
#[derive(Debug)]
pub(super) struct ProbeSchedule {
    watch: Arc<HealthCheck>,
    again: Backoff,
}

impl ProbeSchedule {
    pub(super) fn of(watch: Arc<HealthCheck>) -> Self {
        Self {
            watch,
            again: AGAIN,
        }
    }

    /// How long to wait before it is looked whether to try.
    pub(super) fn delay(&mut self) -> Duration {
        if self.watch.failing().is_some() {
            return self.again.next_wait();
        }
        self.again.reset();
        let worked = self.watch.lock().worked;
        let left = worked.map_or(PROBE_IDLE, |worked| {
            PROBE_IDLE.saturating_sub(worked.elapsed())
        });
        left.max(PROBE_IDLE / 100)
    }

    /// What it is about.
    pub(super) fn watch(&self) -> &HealthCheck {
        &self.watch
    }

    /// Whether nobody did it lately, or it fails.
    pub(super) fn is_due(&self) -> bool {
        !self.watch.succeeded_within(PROBE_IDLE)
    }
}

/// Has a probe made for whoever asks, once for all that ask within a moment.
#[derive(Debug, Default)]
pub(super) struct ProbeThrottle(tokio::sync::Mutex<Option<Instant>>);

impl ProbeThrottle {
    /// Makes it, unless it was made a moment ago.
    pub(super) async fn probe(&self, probe: impl Future<Output = ()>) {
        let mut last = self.0.lock().await;
        if last.is_none_or(|last| last.elapsed() >= FRESH) {
            probe.await;
            *last = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
