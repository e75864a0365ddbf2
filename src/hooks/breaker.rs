//! Whether an endpoint is asked at all: not for a while after most of its calls have failed. Knows no time but what it is given.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use crate::limits::Holder;

/// The time over which calls are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Calls are counted in parts of the window this long.
const BUCKET: Duration = Duration::from_millis(100);
/// With fewer calls than this in the window the endpoint is asked, whatever has failed.
const MIN_CALLS: u32 = 10;
/// The part of the calls, in percent, from which on the endpoint is not asked.
const FAILED_PERCENT: u64 = 80;
/// How long it is not asked.
const OPEN_FOR: Duration = Duration::from_secs(5);
/// Clients whose failures are remembered. With more in one window, all may count once more.
const MAX_CLIENTS: usize = 4096;

/// A circuit breaker.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// The newest last; each has calls.
    buckets: VecDeque<Bucket>,
    blamed: BlamedClients,
    open_until: Option<Instant>,
    /// How often it has opened: the results of calls that began before are not counted.
    opened: u64,
}

/// What a call that has ended says about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome<'a> {
    /// It has answered.
    Answered,
    /// It is ill.
    Failed,
    /// It has failed, maybe by what this client has sent or done. One client must not close it for all, so such failures count once
    /// in the window for each.
    FailedFor(&'a Holder),
}

/// The calls that ended in a short time.
#[derive(Debug)]
struct Bucket {
    began: Instant,
    calls: u32,
    failed: u32,
}

/// Permits one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl Breaker {
    /// Permits a call.
    ///
    /// # Errors
    /// How long the endpoint is not asked.
    pub(super) fn permit(&mut self, now: Instant) -> Result<Ticket, Duration> {
        match self.remaining(now) {
            Some(remaining) => Err(remaining),
            None => Ok(Ticket(self.opened)),
        }
    }

    /// How long the endpoint is not asked; `None` if it is.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        let remaining = self.open_until?.saturating_duration_since(now);
        (!remaining.is_zero()).then_some(remaining)
    }

    /// How often it has opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// Counts a call that has ended. True if the breaker opens by it.
    pub(super) fn record(&mut self, ticket: Ticket, outcome: Outcome<'_>, now: Instant) -> bool {
        if ticket.0 != self.opened {
            return false;
        }
        let failed = match outcome {
            Outcome::Answered => false,
            Outcome::Failed => true,
            Outcome::FailedFor(client) if self.blamed.is_new(client, now) => true,
            Outcome::FailedFor(_) => return false,
        };
        let is_over = |bucket: &Bucket| now.saturating_duration_since(bucket.began) >= WINDOW;
        while self.buckets.front().is_some_and(is_over) {
            self.buckets.pop_front();
        }
        let fits = |bucket: &&mut Bucket| now.saturating_duration_since(bucket.began) < BUCKET;
        match self.buckets.back_mut().filter(fits) {
            Some(bucket) => {
                bucket.calls = bucket.calls.saturating_add(1);
                bucket.failed = bucket.failed.saturating_add(failed.into());
            }
            None => self.buckets.push_back(Bucket {
                began: now,
                calls: 1,
                failed: failed.into(),
            }),
        }
        if !failed || !self.must_open() {
            return false;
        }
        self.buckets.clear();
        self.blamed.since.clear();
        self.opened += 1;
        self.open_until = Some(now + OPEN_FOR);
        true
    }

    fn must_open(&self) -> bool {
        let count = |of: fn(&Bucket) -> u32| self.buckets.iter().map(|it| u64::from(of(it))).sum();
        let (calls, failed): (u64, u64) = (count(|it| it.calls), count(|it| it.failed));
        calls >= u64::from(MIN_CALLS) && failed * 100 >= calls * FAILED_PERCENT
    }
}

/// The clients that calls have failed for, and when that was counted.
#[derive(Debug, Default)]
struct BlamedClients {
    /// By hashes, which nobody can foresee.
    since: HashMap<u64, Instant>,
    hasher: RandomState,
}

impl BlamedClients {
    /// Whether no failure of a client has been counted in the window; now one is.
    fn is_new(&mut self, client: &Holder, now: Instant) -> bool {
        let in_window = |then: &Instant| now.saturating_duration_since(*then) < WINDOW;
        let client = self.hasher.hash_one(client);
        if self.since.get(&client).is_some_and(in_window) {
            return false;
        }
        if self.since.len() >= MAX_CLIENTS {
            self.since.retain(|_, then| in_window(then));
        }
        if self.since.len() >= MAX_CLIENTS {
            self.since.clear();
        }
        self.since.insert(client, now);
        true
    }
}

#[cfg(test)]
mod tests;
