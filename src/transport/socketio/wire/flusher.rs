//! Who writes: a few tasks that each walk over the sessions with something to write, and look for those that stall.
//!
//! One task that writes for many gathers by itself: while it writes to some, the others' queues grow, and each is written
//! once with all that waits there. Waking every session's own task instead costs more than the writing.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::Notify,
    task::{coop::unconstrained, yield_now},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::outbox::Outbox;

/// Sessions that are written to before other tasks have their turn.
const ROUND: usize = 128;

/// The tasks; they end with this.
pub(in crate::transport::socketio) struct Flushers {
    shards: Vec<Arc<Shard>>,
    next: AtomicUsize,
    _end: DropGuard,
}

/// What one task has to do.
#[derive(Default)]
pub(in crate::transport::socketio) struct Shard {
    /// Those with something to write.
    listed: Mutex<Vec<Arc<Outbox>>>,
    /// Those whose client has not taken everything.
    watched: Mutex<Vec<Arc<Outbox>>>,
    something: Notify,
}

impl Flushers {
    /// Starts `count` tasks that look for stalls ten times within the time of one. Needs a tokio runtime.
    pub(in crate::transport::socketio) fn start(count: usize, stall: Duration) -> Self {
        let end = CancellationToken::new();
        let every = (stall / 10).clamp(Duration::from_millis(20), Duration::from_millis(500));
        let shards: Vec<Arc<Shard>> = (0..count.max(1)).map(|_| Arc::default()).collect();
        for shard in &shards {
            let working = unconstrained(shard.clone().work());
            tokio::spawn(end.clone().run_until_cancelled_owned(working));
            let watching = shard.clone().watch_all(every);
            tokio::spawn(end.clone().run_until_cancelled_owned(watching));
        }
        Self {
            shards,
            next: AtomicUsize::new(0),
            _end: end.drop_guard(),
        }
    }

    /// The shard of a new session.
    pub(in crate::transport::socketio) fn shard(&self) -> Arc<Shard> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.shards[next % self.shards.len()].clone()
    }
}

impl Shard {
    /// Has an outbox written.
    pub(super) fn list(&self, outbox: &Arc<Outbox>) {
        let mut listed = lock(&self.listed);
        listed.push(outbox.clone());
        if listed.len() == 1 {
            drop(listed);
            self.something.notify_one();
        }
    }

    /// Has an outbox looked after until nothing waits there.
    pub(super) fn watch(&self, outbox: &Arc<Outbox>) {
        lock(&self.watched).push(outbox.clone());
    }

    async fn work(self: Arc<Self>) {
        let mut round = Vec::new();
        loop {
            self.something.notified().await;
            loop {
                std::mem::swap(&mut round, &mut *lock(&self.listed));
                if round.is_empty() {
                    break;
                }
                for (nth, outbox) in round.drain(..).enumerate() {
                    outbox.flush();
                    if nth % ROUND == ROUND - 1 {
                        yield_now().await;
                    }
                }
            }
        }
    }

    async fn watch_all(self: Arc<Self>, every: Duration) {
        let mut tick = tokio::time::interval(every);
        loop {
            tick.tick().await;
            let mut watched = std::mem::take(&mut *lock(&self.watched));
            let now = Instant::now();
            watched.retain(|outbox| outbox.keeps_waiting(now));
            lock(&self.watched).append(&mut watched);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
