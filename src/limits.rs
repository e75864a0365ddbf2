//! Rates and counts: token buckets, and tickets that give a place back when they are dropped.
//!
//! Everything here takes the time as an argument or counts; nothing waits. What a limit is called and how large it
//! is stands in the configuration; which code answers it is decided where it is applied.

use std::{
    hash::Hash,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};

use crate::error::Limit;

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
        if rate.interval.is_zero() {
            return Ok(Duration::ZERO);
        }
        let due = self.due.map_or(now, |due| due.max(now));
        let early = due.duration_since(now);
        let wait = early.saturating_sub(rate.tolerance);
        if wait > patience {
            return Err(wait);
        }
        self.due = Some(due + rate.interval);
        Ok(wait)
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
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// Full buckets for whatever key comes.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: DashMap::new(),
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

/// Counts what is held for each key, and forgets keys that hold nothing.
#[derive(Debug)]
pub struct Counts<K: Eq + Hash + Clone, V = ()>(DashMap<K, Arc<Held<V>>>);

#[derive(Debug)]
struct Held<V> {
    count: AtomicUsize,
    value: V,
}

impl<K: Eq + Hash + Clone, V: Default> Counts<K, V> {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self(DashMap::new())
    }

    /// Takes a place for `key` while fewer than `most` are taken; `most` 0 is no limit.
    pub fn take(self: &Arc<Self>, key: K, most: usize) -> Option<Place<K, V>> {
        let held = {
            let held = self.0.entry(key.clone()).or_insert_with(|| {
                Arc::new(Held {
                    count: AtomicUsize::new(0),
                    value: V::default(),
                })
            });
            // The entry is locked: nobody else counts or removes this key meanwhile.
            let count = held.count.load(Ordering::Relaxed);
            if most != 0 && count >= most {
                return None;
            }
            held.count.store(count + 1, Ordering::Relaxed);
            held.clone()
        };
        Some(Place {
            counts: self.clone(),
            key,
            held,
        })
    }
}

impl<K: Eq + Hash + Clone, V> Counts<K, V> {
    /// Looks at what the places of a key share; `None` if none is taken.
    pub fn peek<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T> {
        let held = self.0.get(key)?.clone();
        Some(look(&held.value))
    }
}

impl<K: Eq + Hash + Clone, V: Default> Default for Counts<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// A place taken in [`Counts`], given back when dropped.
#[derive(Debug)]
pub struct Place<K: Eq + Hash + Clone, V = ()> {
    counts: Arc<Counts<K, V>>,
    key: K,
    held: Arc<Held<V>>,
}

impl<K: Eq + Hash + Clone, V> Place<K, V> {
    /// What all places of this key share.
    pub fn shared(&self) -> &V {
        &self.held.value
    }
}

impl<K: Eq + Hash + Clone, V> Drop for Place<K, V> {
    fn drop(&mut self) {
        // The entry is locked from here on, so a place taken meanwhile waits for the decision.
        if let Entry::Occupied(entry) = self.counts.0.entry(self.key.clone())
            && entry.get().count.fetch_sub(1, Ordering::Relaxed) == 1
        {
            entry.remove();
        }
    }
}

/// How many connections this node and each address hold.
#[derive(Debug)]
pub struct Admission {
    all: Arc<Counts<()>>,
    addresses: Arc<Counts<IpAddr>>,
    most: usize,
    most_per_address: usize,
}

/// A place for one connection, given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    _all: Place<()>,
    _address: Option<Place<IpAddr>>,
}

impl Admission {
    /// At most `most` connections in all and `most_per_address` of one address; 0 is no limit.
    pub fn new(most: usize, most_per_address: usize) -> Self {
        Self {
            all: Arc::default(),
            addresses: Arc::default(),
            most,
            most_per_address,
        }
    }

    /// Takes a place, or names the limit that was reached. Loopback addresses are counted only in all: behind a
    /// proxy on the same host everybody comes from there.
    pub fn admit(&self, address: IpAddr) -> Result<Admitted, Limit> {
        let all = self.all.take((), self.most).ok_or(Limit::Connections)?;
        let address = if address.to_canonical().is_loopback() {
            None
        } else {
            Some(
                self.addresses
                    .take(network(address), self.most_per_address)
                    .ok_or(Limit::ConnectionsPerIp)?,
            )
        };
        Ok(Admitted {
            _all: all,
            _address: address,
        })
    }
}

/// One subscriber of IPv6 commonly holds a whole /64, so that is what counts as an address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let bits = v6.to_bits() & (u128::MAX << 64);
            IpAddr::V6(bits.into())
        }
        v4 => v4,
    }
}

/// Whether arrays and objects of a JSON text stand at more than `most` levels.
pub fn nests_deeper(text: &str, most: usize) -> bool {
    let text = text.as_bytes();
    // Hardly any event has so many brackets at all, and counting them is many times quicker than following them.
    let brackets = text.iter().filter(|byte| matches!(byte, b'[' | b'{'));
    brackets.count() > most && depth(text) > most
}

/// The deepest level of arrays and objects in a JSON text. Of malformed text it may say anything; the parser that comes
/// after refuses that.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn depth_is_counted_outside_strings_only() {
        for (text, depth) in [
            (r#"["a",{"b":[1,{}]}]"#, 4),
            (r#"["[[[[","\"[[",{}]"#, 2),
            ("]]][", 1),
            ("7", 0),
        ] {
            assert!(nests_deeper(text, depth.max(1) - 1) || depth == 0, "{text}");
            assert!(!nests_deeper(text, depth), "{text}");
        }
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate_holds() {
        let rate = Rate::new(10, 3);
        let start = Instant::now();
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, start), Ok(()));
        }
        assert_eq!(bucket.take(rate, start), Err(Duration::from_millis(100)));
        assert_eq!(
            bucket.take(rate, start + Duration::from_millis(100)),
            Ok(())
        );
        assert!(
            bucket
                .take(rate, start + Duration::from_millis(150))
                .is_err()
        );
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let mut bucket = Bucket::default();
        let now = Instant::now();
        assert!((0..1000).all(|_| bucket.take(Rate::new(0, 0), now).is_ok()));
    }

    proptest! {
        #[test]
        fn no_window_ever_passes_more_than_burst_plus_rate(
            per_second in 1u32..100,
            burst in 1u32..50,
            gaps in proptest::collection::vec(0u64..200, 1..200),
        ) {
            let rate = Rate::new(per_second, burst);
            let start = Instant::now();
            let mut bucket = Bucket::default();
            let (mut now, mut passed) = (start, 0u32);
            for gap in gaps {
                now += Duration::from_millis(gap);
                passed += u32::from(bucket.take(rate, now).is_ok());
                let allowed = f64::from(burst) + (now - start).as_secs_f64() * f64::from(per_second);
                prop_assert!(f64::from(passed) <= allowed + 1e-6);
            }
        }

        #[test]
        fn permits_used_when_they_were_reserved_for_keep_to_the_rate(
            per_second in 1u32..100,
            burst in 1u32..50,
            steps in proptest::collection::vec((0u64..200, 0u64..2_000, any::<bool>()), 1..200),
        ) {
            let rate = Rate::new(per_second, burst);
            let start = Instant::now();
            let mut bucket = Bucket::default();
            let (mut now, mut used, mut last) = (start, 0.0, start);
            for (gap, patience, half) in steps {
                now += Duration::from_millis(gap);
                let patience = Duration::from_millis(patience);
                let taken = if half { rate.halved() } else { rate };
                let Ok(wait) = bucket.reserve(taken, now, patience) else {
                    continue;
                };
                prop_assert!(wait <= patience);
                prop_assert!(now + wait >= last, "in the order in which they were reserved");
                last = now + wait;
                used += if half { 0.5 } else { 1.0 };
                let allowed = f64::from(burst) + (last - start).as_secs_f64() * f64::from(per_second);
                prop_assert!(used <= allowed + 1e-6);
            }
        }

        #[test]
        fn waiting_as_long_as_told_is_always_enough(gaps in proptest::collection::vec(0u64..30, 1..100)) {
            let rate = Rate::new(20, 4);
            let mut now = Instant::now();
            let mut bucket = Bucket::default();
            for gap in gaps {
                now += Duration::from_millis(gap);
                if let Err(wait) = bucket.take(rate, now) {
                    now += wait;
                    prop_assert_eq!(bucket.take(rate, now), Ok(()));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn keyed_buckets_answer_as_if_none_was_ever_forgotten(
            steps in proptest::collection::vec((0u64..200, 0u8..4, any::<bool>()), 1..200),
        ) {
            let rate = Rate::new(10, 5);
            let buckets = Buckets::new(rate);
            let mut kept: [Bucket; 4] = Default::default();
            let mut now = Instant::now();
            for (gap, key, sweeps) in steps {
                now += Duration::from_millis(gap);
                if sweeps {
                    buckets.sweep(now);
                    let full = kept.iter().filter(|bucket| bucket.is_full(now)).count();
                    prop_assert_eq!(buckets.buckets.len(), kept.len() - full);
                }
                prop_assert_eq!(buckets.take(&key, now), kept[usize::from(key)].take(rate, now));
            }
            buckets.sweep(now + Duration::from_millis(500));
            prop_assert!(buckets.buckets.is_empty());
        }
    }

    #[test]
    fn keys_without_a_limit_are_not_kept() {
        let buckets = Buckets::new(Rate::new(0, 0));
        let now = Instant::now();
        assert!((0..100).all(|key: u8| buckets.take(&key, now).is_ok()));
        assert!(buckets.buckets.is_empty());
    }

    #[test]
    fn a_place_given_back_can_be_taken_again_and_no_key_is_kept() {
        let counts: Arc<Counts<&str>> = Arc::default();
        let first = counts.take("a", 2).unwrap();
        let second = counts.take("a", 2).unwrap();
        assert!(counts.take("a", 2).is_none());
        assert!(counts.take("b", 2).is_some());
        drop(first);
        drop(counts.take("a", 2).unwrap());
        drop(second);
        assert!(counts.0.is_empty());
    }

    #[test]
    fn places_taken_and_dropped_by_many_threads_leave_nothing_behind() {
        let counts: Arc<Counts<u8>> = Arc::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..2_000u32 {
                        let key = u8::try_from(round % 3).unwrap();
                        drop(counts.take(key, 4));
                    }
                });
            }
        });
        assert!(counts.0.is_empty());
    }

    #[test]
    fn addresses_are_counted_by_network_and_loopback_only_in_all() {
        let admission = Admission::new(3, 1);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let same_network: IpAddr = "2001:db8::2".parse().unwrap();
        let held = admission.admit(one).unwrap();
        assert_eq!(
            admission.admit(same_network).unwrap_err(),
            Limit::ConnectionsPerIp
        );
        let local: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let _two = (
            admission.admit(local).unwrap(),
            admission.admit(local).unwrap(),
        );
        assert_eq!(admission.admit(local).unwrap_err(), Limit::Connections);
        drop(held);
        assert!(admission.admit(same_network).is_ok());
    }
}
