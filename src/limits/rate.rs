//! Rates: token buckets, alone and per key.

use std::{
    hash::Hash,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use dashmap::DashMap;

/// A rate with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time in which one permit is refilled; zero is unlimited.
    interval: Duration,
    /// How far ahead of schedule a sender may be.
    tolerance: Duration,
}

impl Rate {
    /// `per_second` permits per second, and `burst` at once. A rate of 0 is unlimited, a burst of 0 means 1.
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

    /// `permits` in a time, all of them at once if need be; 0 is unlimited.
    pub fn per(time: Duration, permits: u32) -> Self {
        match permits {
            0 => Self::new(0, 0),
            permits => {
                let interval = time / permits;
                Self {
                    interval,
                    tolerance: interval * (permits - 1),
                }
            }
        }
    }

    /// The time in which so many permits are refilled.
    pub fn time_of(self, permits: u32) -> Duration {
        self.interval.saturating_mul(permits)
    }

    /// The share of each of `senders`: that part of the permits, both at once and per second.
    #[must_use]
    pub fn share(self, senders: u32) -> Self {
        Self {
            interval: self.interval * senders,
            ..self
        }
    }

    /// The same rate with half of the burst, for senders that leave the other half to others.
    #[must_use]
    pub fn with_half_burst(self) -> Self {
        Self {
            tolerance: self.tolerance / 2,
            ..self
        }
    }

    /// The same rate for requests that cost half a permit.
    #[must_use]
    pub fn at_half_cost(self) -> Self {
        Self {
            interval: self.interval / 2,
            ..self
        }
    }
}

/// A token bucket: the generic cell rate algorithm (ITU-T I.371), with one instant of state.
#[derive(Debug, Default)]
pub struct Bucket {
    /// When a sender that keeps to the rate would send next.
    due: Option<Instant>,
}

impl Bucket {
    /// Takes one permit.
    ///
    /// # Errors
    /// The time until one is available.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.reserve(rate, now, Duration::ZERO).map(|_| ())
    }

    /// Reserves the next permit, and returns the time until it may be used.
    ///
    /// # Errors
    /// That time, if it exceeds `max_wait`; nothing is reserved then.
    pub fn reserve(
        &mut self,
        rate: Rate,
        now: Instant,
        max_wait: Duration,
    ) -> Result<Duration, Duration> {
        self.reserve_many(rate, 1, now, max_wait)
    }

    /// Reserves `permits`, as [`reserve`](Self::reserve) does one. More than a burst wait as long as a burst does, and the next
    /// reservation waits for the rest; zero permits fail only while that debt is open.
    ///
    /// # Errors
    /// The time until they may be used, if it exceeds `max_wait`; nothing is reserved then.
    pub fn reserve_many(
        &mut self,
        rate: Rate,
        permits: u32,
        now: Instant,
        max_wait: Duration,
    ) -> Result<Duration, Duration> {
        if rate.interval.is_zero() {
            return Ok(Duration::ZERO);
        }
        let due = self.due.map_or(now, |due| due.max(now));
        let full = rate.tolerance + rate.interval;
        let needed = due.duration_since(now) + rate.time_of(permits).min(full);
        let wait = needed.saturating_sub(full);
        if wait > max_wait {
            return Err(wait);
        }
        self.due = Some(due + rate.time_of(permits));
        Ok(wait)
    }

    /// The time until the next permit is available.
    fn wait(&self, rate: Rate, now: Instant) -> Duration {
        let early = self
            .due
            .map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        early.saturating_sub(rate.tolerance)
    }

    /// Takes permits for work that is done already; the next reservation waits until they are refilled.
    pub fn charge(&mut self, rate: Rate, permits: u32, now: Instant) {
        let due = self.due.map_or(now, |due| due.max(now));
        self.due = Some(due + rate.time_of(permits));
    }

    /// Whether it is in the same state as a new one.
    fn is_full(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }
}

/// A [`Bucket`] per key, created with the first permit and removed when it is full again.
#[derive(Debug)]
pub struct Buckets<K: Eq + Hash> {
    rate: Rate,
    buckets: DashMap<K, Bucket>,
    /// Calls since full buckets were last removed.
    calls: AtomicUsize,
}

/// The minimum number of calls between two removals of full buckets.
const MIN_CALLS_BETWEEN_REMOVALS: usize = 1024;

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// Full buckets for all keys.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: DashMap::new(),
            calls: AtomicUsize::new(0),
        }
    }

    /// Takes one permit of a key.
    ///
    /// # Errors
    /// The time until one is available.
    pub fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        self.reserve(key, self.rate, now, Duration::ZERO)
            .map(|_| ())
    }

    /// Reserves the next permit of a key as [`Bucket::reserve`] does, at `rate`: the common one, or a variant of it.
    ///
    /// # Errors
    /// The time until it may be used, if it exceeds `max_wait`.
    pub fn reserve(
        &self,
        key: &K,
        rate: Rate,
        now: Instant,
        max_wait: Duration,
    ) -> Result<Duration, Duration> {
        if rate.interval.is_zero() {
            return Ok(Duration::ZERO);
        }
        if let Some(mut bucket) = self.buckets.get_mut(key) {
            return bucket.reserve(rate, now, max_wait);
        }
        let mut bucket = self.buckets.entry(key.clone()).or_default();
        bucket.reserve(rate, now, max_wait)
    }

    /// Reserves permits of a key as [`Bucket::reserve_many`] does.
    ///
    /// # Errors
    /// The time until they may be used, if it exceeds `max_wait`.
    pub fn reserve_many(
        &self,
        key: &K,
        permits: u32,
        now: Instant,
        max_wait: Duration,
    ) -> Result<Duration, Duration> {
        if self.rate.interval.is_zero() {
            return Ok(Duration::ZERO);
        }
        let mut bucket = self.buckets.entry(key.clone()).or_default();
        bucket.reserve_many(self.rate, permits, now, max_wait)
    }

    /// Takes permits of a key for work that is done already, as [`Bucket::charge`] does.
    pub fn charge(&self, key: &K, permits: u32, now: Instant) {
        if permits > 0 && !self.rate.interval.is_zero() {
            let mut bucket = self.buckets.entry(key.clone()).or_default();
            bucket.charge(self.rate, permits, now);
        }
    }

    /// The time until a permit of a key is available; takes none.
    pub fn wait(&self, key: &K, now: Instant) -> Duration {
        let bucket = self.buckets.get(key);
        bucket.map_or(Duration::ZERO, |bucket| bucket.wait(self.rate, now))
    }

    /// Removes full buckets now and then, at amortized constant cost. Call this with each permit if nothing calls
    /// [`remove_full`](Self::remove_full) periodically.
    pub fn remove_full_amortized(&self, now: Instant) {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        if calls >= MIN_CALLS_BETWEEN_REMOVALS && 2 * calls >= self.buckets.len() {
            self.calls.store(0, Ordering::Relaxed);
            self.remove_full(now);
        }
    }

    /// Takes permits of a key, and returns the time until they may be used.
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

    /// Removes full buckets. Call this periodically; an unused bucket is full after the time in which its burst is refilled.
    pub fn remove_full(&self, now: Instant) {
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
    }
}

#[cfg(test)]
mod tests;
