//! The queue of new connections: when a node or a network comes back, all clients reconnect at once, and are admitted at a
//! limited rate.
//!
//! A connection that arrives too early waits for its turn, in order, for a bounded time: stock clients that are refused back off
//! further and further, long after they could have been admitted. Only a connection that would wait too long is refused. One
//! whose client goes away while it waits leaves the queue.
//!
//! There are two lanes. A client within its share of the rate is in the first one. A client over its share is in the second,
//! which gets what the first leaves of the rate, and at most half of the burst. So nobody waits behind a client that floods,
//! and where one address stands for all, as behind a proxy, it gets nearly the whole rate.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rand::RngExt;
use tokio::time::{sleep, timeout};

use crate::{
    error::{Error, Limit, Result},
    limits::{Bucket, Buckets, Holder, Rate, SHARES},
    sync::lock,
};

/// New connections that wait to be admitted.
pub(super) struct AdmissionQueue {
    rate: Rate,
    max_wait: Duration,
    bucket: Mutex<Bucket>,
    /// What each client has taken of its share.
    shares: Buckets<Holder>,
    within_share: QueueLane,
    over_share: QueueLane,
}

/// Connections that wait one behind the other.
#[derive(Default)]
struct QueueLane {
    /// Held by the first; the mutex serves the others in the order in which they came.
    first: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

/// Random part of the retry delay, so that clients that are refused together do not come back together.
const RETRY_JITTER: Duration = Duration::from_secs(4);

/// How much longer than `max_wait` a connection over its share may wait when others go before it.
const EXTRA_WAIT_OVER_SHARE: Duration = Duration::from_secs(1);

impl AdmissionQueue {
    /// Admits at `rate`; no connection waits longer than `max_wait`.
    pub(super) fn new(rate: Rate, max_wait: Duration) -> Self {
        Self {
            rate,
            max_wait,
            bucket: Mutex::default(),
            shares: Buckets::new(rate.share(SHARES)),
            within_share: QueueLane::default(),
            over_share: QueueLane::default(),
        }
    }

    /// Waits until the connection is admitted. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// `unavailable`: at once if the wait would be too long, or when it was.
    pub(super) async fn wait(&self, holder: &Holder) -> Result<()> {
        let now = Instant::now();
        self.shares.remove_full_amortized(now);
        if self.shares.take(holder, now).is_ok() {
            return self.wait_in(&self.within_share, self.rate, 0).await;
        }
        let before = self.within_share.waiting.load(Ordering::Relaxed);
        let waiting = self.wait_in(&self.over_share, self.rate.with_half_burst(), before);
        match timeout(self.max_wait + EXTRA_WAIT_OVER_SHARE, waiting).await {
            Ok(admitted) => admitted,
            Err(_) => Err(self.queue_full(before)),
        }
    }

    async fn wait_in(&self, lane: &QueueLane, rate: Rate, before: usize) -> Result<()> {
        let position = QueuePosition::last_of(&lane.waiting);
        let ahead = before + position.ahead;
        if self.time_of(ahead) > self.max_wait {
            return Err(self.queue_full(ahead));
        }
        let _first = lane.first.lock().await;
        loop {
            let taken = lock(&self.bucket).take(rate, Instant::now());
            match taken {
                Ok(()) => return Ok(()),
                Err(wait) if wait > self.max_wait => return Err(self.queue_full(ahead)),
                Err(wait) => sleep(wait).await,
            }
        }
    }

    fn time_of(&self, connections: usize) -> Duration {
        self.rate
            .time_of(connections.try_into().unwrap_or(u32::MAX))
    }

    fn queue_full(&self, ahead: usize) -> Error {
        let jitter = RETRY_JITTER.mul_f64(rand::rng().random());
        Error::unavailable("too many connect at this moment; come back a little later")
            .for_limit(Limit::ConnectsPerSecond)
            .retry_after(self.time_of(ahead.max(1)) + jitter)
    }
}

/// A position in a lane, given up when dropped.
struct QueuePosition<'a> {
    waiting: &'a AtomicUsize,
    ahead: usize,
}

impl<'a> QueuePosition<'a> {
    fn last_of(waiting: &'a AtomicUsize) -> Self {
        let ahead = waiting.fetch_add(1, Ordering::Relaxed);
        Self { waiting, ahead }
    }
}

impl Drop for QueuePosition<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
