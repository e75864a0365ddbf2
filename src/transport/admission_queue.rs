//! The queue of handshakes: when a node or a network comes back, everybody does, and new connections are let in at a pace.
//!
//! One that comes too early waits for its turn, in order, for a bounded time: stock clients that are refused come back later and
//! later, long after there would have been a place. Only a handshake that would wait too long is refused. One whose client
//! goes away while it waits leaves the queue.
//!
//! There are two lanes. A client that keeps to its share of the pace is in the first one. A client that comes faster is in the
//! second, which has what the first leaves of the pace, and at most half of the burst. So nobody waits behind a client that
//! floods, and where one address stands for all, as behind a proxy, it has nearly the whole pace.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rand::RngExt;
use tokio::time::{sleep, timeout};

use super::lock;
use crate::{
    error::{Error, Limit, Result},
    limits::{Bucket, Buckets, Holder, Rate, SHARES},
};

/// Who waits to be let in.
pub(super) struct AdmissionQueue {
    rate: Rate,
    most: Duration,
    bucket: Mutex<Bucket>,
    /// What each client has taken of its share.
    shares: Buckets<Holder>,
    within_share: Lane,
    over_share: Lane,
}

/// Handshakes that wait, one behind the other.
#[derive(Default)]
struct Lane {
    /// Held by the first. Those who wait for it are served in the order in which they came.
    first: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

/// How far apart clients come back that are refused together.
const SCATTER: Duration = Duration::from_secs(4);

/// How much longer than it was to a handshake over its share may wait when others go before it.
const OVERTIME: Duration = Duration::from_secs(1);

impl AdmissionQueue {
    /// Lets in at `rate`; nobody waits longer than `most`.
    pub(super) fn new(rate: Rate, most: Duration) -> Self {
        Self {
            rate,
            most,
            bucket: Mutex::default(),
            shares: Buckets::new(rate.share(SHARES)),
            within_share: Lane::default(),
            over_share: Lane::default(),
        }
    }

    /// Waits for its turn. Dropping it gives the place in the queue back.
    ///
    /// # Errors
    /// `unavailable`: at once, if that would take too long, or when it has.
    pub(super) async fn turn(&self, holder: &Holder) -> Result<()> {
        let now = Instant::now();
        self.shares.sweep_in_turn(now);
        if self.shares.take(holder, now).is_ok() {
            return self.wait_in(&self.within_share, self.rate, 0).await;
        }
        let before = self.within_share.waiting.load(Ordering::Relaxed);
        let waiting = self.wait_in(&self.over_share, self.rate.upper_half(), before);
        match timeout(self.most + OVERTIME, waiting).await {
            Ok(turn) => turn,
            Err(_) => Err(self.refusal(before)),
        }
    }

    async fn wait_in(&self, lane: &Lane, rate: Rate, before: usize) -> Result<()> {
        let place = Place::last_of(&lane.waiting);
        let ahead = before + place.ahead;
        if self.time_of(ahead) > self.most {
            return Err(self.refusal(ahead));
        }
        let _first = lane.first.lock().await;
        loop {
            let taken = lock(&self.bucket).take(rate, Instant::now());
            match taken {
                Ok(()) => return Ok(()),
                Err(wait) if wait > self.most => return Err(self.refusal(ahead)),
                Err(wait) => sleep(wait).await,
            }
        }
    }

    fn time_of(&self, handshakes: usize) -> Duration {
        self.rate.time_of(handshakes.try_into().unwrap_or(u32::MAX))
    }

    fn refusal(&self, ahead: usize) -> Error {
        let scattered = SCATTER.mul_f64(rand::rng().random());
        Error::unavailable("too many connect at this moment; come back a little later")
            .for_limit(Limit::ConnectsPerSecond)
            .retry_after(self.time_of(ahead.max(1)) + scattered)
    }
}

/// A place in a lane.
struct Place<'a> {
    waiting: &'a AtomicUsize,
    ahead: usize,
}

impl<'a> Place<'a> {
    fn last_of(waiting: &'a AtomicUsize) -> Self {
        let ahead = waiting.fetch_add(1, Ordering::Relaxed);
        Self { waiting, ahead }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
