//! Rates: token buckets, alone and one a key.

use std::{
    hash::Hash,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use dashmap::DashMap;

/// A rate with a burst, fixed for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time one permit takes to come back; zero: no limit.
    interval: Duration,
    /// How far ahead of its schedule a sender may be.
    tolerance: Duration,
}

impl Rate {
    /// `per_second` permits a second, `burst` at once; 0 a second turns the limit off, a burst of 0 means 1.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = if per_second == 0 {
            Duration::ZERO
        } else {
            Duration::from_secs(1) / per_second
        };
        Self {
            interval,
            tolerance: interval * burst.saturating_sub(1),
        }
    }

    /// How long it takes for so many permits to come back.
    pub fn time_of(self, permits: u32) -> Duration {
        self.interval.saturating_mul(permits)
    }

    /// What each of so many senders may have of it: the part of its permits, at once and a second.
    #[must_use]
    pub fn share(self, senders: u32) -> Self {
        Self {
            interval: self.interval * senders,
            ..self
        }
    }

    /// The same rate for senders that leave the lower half of the burst to others.
    #[must_use]
    pub fn upper_half(self) -> Self {
        Self {
            tolerance: self.tolerance / 2,
            ..self
        }
    }

    /// The same rate for what counts half.
    #[must_use]
    pub fn halved(self) -> Self {
        Self {
            interval: self.interval / 2,
            ..self
        }
    }
}

/// What is left of a [`Rate`]: the generic cell rate algorithm (ITU-T I.371), one instant of state.
#[derive(Debug, Default)]
pub struct Bucket {
    /// When a sender that kept to the rate would send next.
    due: Option<Instant>,
}

impl Bucket {
    /// Takes one permit, or says how long until there is one.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.reserve(rate, now, Duration::ZERO).map(|_| ())
    }

    /// Takes the next permit, and says how long until it may be used. If that is longer than `patience`, none is taken, and
    /// the error says how long it would be.
    pub fn reserve(
        &mut self,
        rate: Rate,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        self.reserve_many(rate, 1, now, patience)
    }

    /// Takes the next `permits` as [`reserve`](Self::reserve) takes one. More than a burst are waited for as long as a burst is,
    /// and paid for by whoever asks next; none are refused only where that is still to be paid.
    pub fn reserve_many(
        &mut self,
        rate: Rate,
        permits: u32,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        if rate.interval.is_zero() {
            return Ok(Duration::ZERO);
        }
        let due = self.due.map_or(now, |due| due.max(now));
        let full = rate.tolerance + rate.interval;
        let needed = due.duration_since(now) + rate.time_of(permits).min(full);
        let wait = needed.saturating_sub(full);
        if wait > patience {
            return Err(wait);
        }
        self.due = Some(due + rate.time_of(permits));
        Ok(wait)
    }

    /// How long until the next permit may be used.
    fn wait(&self, rate: Rate, now: Instant) -> Duration {
        let early = self
            .due
            .map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        early.saturating_sub(rate.tolerance)
    }

    /// Takes permits for what has been done already: whoever asks next waits until they have come back.
    pub fn charge(&mut self, rate: Rate, permits: u32, now: Instant) {
        let due = self.due.map_or(now, |due| due.max(now));
        self.due = Some(due + rate.time_of(permits));
    }

    /// Whether nothing is known of it that a new one would not know.
    fn is_full(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }
}

/// A [`Bucket`] a key, whether or not anything else is known of the key: kept from its first permit until it is full again.
#[derive(Debug)]
pub struct Buckets<K: Eq + Hash> {
    rate: Rate,
    buckets: DashMap<K, Bucket>,
    /// Permits asked for since full buckets were forgotten.
    asked: AtomicUsize,
}

/// Permits that are asked for, at the least, before full buckets are forgotten again.
const SWEEP: usize = 1024;

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// Full buckets for whatever key comes.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: DashMap::new(),
            asked: AtomicUsize::new(0),
        }
    }

    /// Takes one permit of a key's, or says how long until there is one.
    pub fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        self.reserve(key, self.rate, now, Duration::ZERO)
            .map(|_| ())
    }

    /// Takes the next permit of a key's as [`Bucket::reserve`] does, at `rate`: that of all, or its half.
    pub fn reserve(
        &self,
        key: &K,
        rate: Rate,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        if rate.interval.is_zero() {
            return Ok(Duration::ZERO);
        }
        if let Some(mut bucket) = self.buckets.get_mut(key) {
            return bucket.reserve(rate, now, patience);
        }
        let mut bucket = self.buckets.entry(key.clone()).or_default();
        bucket.reserve(rate, now, patience)
    }

    /// Takes the next permits of a key's as [`Bucket::reserve_many`] does.
    pub fn reserve_many(
        &self,
        key: &K,
        permits: u32,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        if self.rate.interval.is_zero() {
            return Ok(Duration::ZERO);
        }
        let mut bucket = self.buckets.entry(key.clone()).or_default();
        bucket.reserve_many(self.rate, permits, now, patience)
    }

    /// Takes permits of a key's for what has been done already, as [`Bucket::charge`] does.
    pub fn charge(&self, key: &K, permits: u32, now: Instant) {
        if permits > 0 && !self.rate.interval.is_zero() {
            let mut bucket = self.buckets.entry(key.clone()).or_default();
            bucket.charge(self.rate, permits, now);
        }
    }

    /// How long until there is a permit of a key's; none is taken.
    pub fn wait(&self, key: &K, now: Instant) -> Duration {
        let bucket = self.buckets.get(key);
        bucket.map_or(Duration::ZERO, |bucket| bucket.wait(self.rate, now))
    }

    /// Forgets what is full again, as often as costs each permit the same. To be called with each of them where nobody calls
    /// [`sweep`](Self::sweep) by the clock.
    pub fn sweep_in_turn(&self, now: Instant) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if asked >= SWEEP && 2 * asked >= self.buckets.len() {
            self.asked.store(0, Ordering::Relaxed);
            self.sweep(now);
        }
    }

    /// Takes so many permits of a key's, and says how long until they may be used.
    pub fn spend(&self, key: &K, permits: u32, now: Instant) -> Duration {
        if permits == 0 || self.rate.interval.is_zero() {
            return Duration::ZERO;
        }
        let mut bucket = self.buckets.entry(key.clone()).or_default();
        let wait = bucket.wait(self.rate, now);
        bucket.charge(self.rate, permits, now);
        wait
    }

    /// The rate of each bucket.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Forgets what is full again. To be called now and then: a bucket that is not taken from is full after the time that
    /// its burst takes.
    pub fn sweep(&self, now: Instant) {
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
    }
}

#[cfg(test)]
mod tests;
