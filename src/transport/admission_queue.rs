//! The queue of handshakes: when a node or a network comes back, everybody does, and new connections are let in at a pace.
//!
//! One that comes too early waits for its turn, in order, for a bounded time: stock clients that are refused come back later and
//! later, long after there would have been a place. Only a handshake that would wait too long is refused. One whose client
//! goes away while it waits leaves the queue.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use rand::Rng;
use tokio::{sync::Mutex, time::sleep};

use crate::{
    error::{Error, Limit, Result},
    limits::{Bucket, Rate},
};

/// Who waits to be let in.
pub(super) struct AdmissionQueue {
    rate: Rate,
    most: Duration,
    /// Held by the first in the queue. Those who wait for it are served in the order in which they came.
    bucket: Mutex<Bucket>,
    waiting: AtomicUsize,
}

/// How far apart clients come back that are refused together.
const SCATTER: Duration = Duration::from_secs(4);

impl AdmissionQueue {
    /// Lets in at `rate`; nobody waits longer than `most`.
    pub(super) fn new(rate: Rate, most: Duration) -> Self {
        Self {
            rate,
            most,
            bucket: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for its turn. Dropping it gives the place in the queue back.
    ///
    /// # Errors
    /// `unavailable` at once, if that would take too long.
    pub(super) async fn turn(&self) -> Result<()> {
        let place = Place::last_of(&self.waiting);
        let ahead = u32::try_from(place.ahead).unwrap_or(u32::MAX);
        if self.rate.time_of(ahead) > self.most {
            return Err(self.refusal(ahead));
        }
        let mut bucket = self.bucket.lock().await;
        while let Err(wait) = bucket.take(self.rate, Instant::now()) {
            if wait > self.most {
                return Err(self.refusal(ahead));
            }
            sleep(wait).await;
        }
        Ok(())
    }

    fn refusal(&self, ahead: u32) -> Error {
        let scattered = SCATTER.mul_f64(rand::rng().random());
        Error::unavailable("too many connect at this moment; come back a little later")
            .for_limit(Limit::ConnectsPerSecond)
            .retry_after(self.rate.time_of(ahead.max(1)) + scattered)
    }
}

/// A place in the queue.
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
mod tests {
    use super::*;
    use crate::error::Code;
    use std::sync::Arc;

    const SECOND: Duration = Duration::from_secs(1);

    fn queue(per_second: u32, burst: u32, most: Duration) -> Arc<AdmissionQueue> {
        Arc::new(AdmissionQueue::new(Rate::new(per_second, burst), most))
    }

    #[tokio::test]
    async fn whoever_comes_too_early_is_let_in_in_order_and_at_the_rate() {
        let queue = queue(100, 5, 10 * SECOND);
        let (began, order) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = Vec::new();
        for number in 0..25 {
            let (queue, order) = (queue.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                queue.turn().await.unwrap();
                order.lock().await.push(number);
            }));
            tokio::task::yield_now().await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert!(began.elapsed() >= Duration::from_millis(200));
        assert_eq!(*order.lock().await, (0..25).collect::<Vec<_>>());
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn whoever_would_wait_too_long_is_told_at_once_when_to_come_again() {
        let queue = queue(1, 1, SECOND);
        queue.turn().await.unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.turn().await })
            })
            .collect();
        while queue.waiting.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        let error = queue.turn().await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.retry_after_ms().unwrap() >= 2_000);
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn whoever_goes_away_keeps_nobody_waiting() {
        let queue = queue(10, 1, 60 * SECOND);
        queue.turn().await.unwrap();
        let began = Instant::now();
        let gone: Vec<_> = (0..100)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.turn().await })
            })
            .collect();
        while queue.waiting.load(Ordering::Relaxed) < 100 {
            tokio::task::yield_now().await;
        }
        let last = tokio::spawn({
            let queue = queue.clone();
            async move { queue.turn().await }
        });
        gone.iter().for_each(tokio::task::JoinHandle::abort);
        last.await.unwrap().unwrap();
        assert!(began.elapsed() < 5 * SECOND);
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn without_a_rate_nobody_waits() {
        let queue = queue(0, 0, Duration::ZERO);
        for _ in 0..100 {
            queue.turn().await.unwrap();
        }
    }
}
