//! Who writes: a few tasks that each walk over the sessions with something to write, and look for those that stall.
//!
//! One task that writes for many gathers by itself: while it writes to some, the others' queues grow, and each is written
//! once with all that waits there. Waking every session's own task instead costs more than the writing.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::{Duration, Instant},
};

use tokio::{
    sync::Notify,
    task::{coop::unconstrained, yield_now},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::outbox::Outbox;
use crate::{hub::Gather, transport::lock};

/// Sessions that one task takes at a time; then other tasks have their turn.
const ROUND: usize = 128;

/// The tasks; they end with this.
pub(in crate::transport) struct Flushers {
    shard: Arc<Shard>,
    count: usize,
    _end: DropGuard,
}

/// What they have to do.
#[derive(Default)]
pub(in crate::transport) struct Shard {
    /// Those with something to write.
    listed: Mutex<VecDeque<Arc<Outbox>>>,
    /// Those whose client has not taken everything.
    watched: Mutex<Vec<Arc<Outbox>>>,
    something: Notify,
    /// More is about to come for many: writing waits for it.
    gathering: AtomicBool,
}

impl Flushers {
    /// Starts `count` tasks that write, and one that looks for stalls ten times within the time of one. Needs a tokio
    /// runtime.
    pub(in crate::transport) fn start(count: usize, stall: Duration) -> Self {
        let (end, shard) = (CancellationToken::new(), Arc::<Shard>::default());
        for _ in 0..count {
            let working = unconstrained(shard.clone().work());
            tokio::spawn(end.clone().run_until_cancelled_owned(working));
        }
        let every = (stall / 10).clamp(Duration::from_millis(20), Duration::from_millis(500));
        let watching = shard.clone().watch_all(every);
        tokio::spawn(end.clone().run_until_cancelled_owned(watching));
        Self {
            shard,
            count,
            _end: end.drop_guard(),
        }
    }

    /// Where outboxes are listed.
    pub(in crate::transport) fn shard(&self) -> Arc<Shard> {
        self.shard.clone()
    }
}

impl Gather for Flushers {
    fn begin(&self) {
        self.shard.gathering.store(true, Ordering::SeqCst);
    }

    /// One event alone is written by all, since it is late already when the last has it. Several together are written by
    /// one, most likely where the queues were just filled: moving them to another core costs more than it saves.
    fn end(&self, alone: bool) {
        self.shard.gathering.store(false, Ordering::SeqCst);
        for _ in 0..if alone { self.count } else { 1 } {
            self.shard.start();
        }
    }
}

impl Shard {
    /// Has an outbox written.
    pub(super) fn list(&self, outbox: &Arc<Outbox>) {
        let mut listed = lock(&self.listed);
        listed.push_back(outbox.clone());
        if listed.len() == 1 {
            drop(listed);
            self.start();
        }
    }

    /// Has a task look at the list, unless more is about to come.
    fn start(&self) {
        if !self.gathering.load(Ordering::SeqCst) {
            self.something.notify_one();
        }
    }

    /// Has an outbox looked after until nothing waits there.
    pub(super) fn watch(&self, outbox: &Arc<Outbox>) {
        lock(&self.watched).push(outbox.clone());
    }

    /// Writes once to each that is listed; false if there was none.
    #[cfg(test)]
    pub(super) fn walk(&self) -> bool {
        let listed = std::mem::take(&mut *lock(&self.listed));
        listed.iter().for_each(Outbox::flush);
        !listed.is_empty()
    }

    async fn work(self: Arc<Self>) {
        let mut round = Vec::with_capacity(ROUND);
        let mut flushed = 0;
        loop {
            self.something.notified().await;
            // Whoever gathers starts this again.
            while !self.gathering.load(Ordering::SeqCst) && self.take(&mut round) {
                // Counted over all rounds: one short round may follow the other without end.
                flushed += round.len();
                round.drain(..).for_each(|outbox| outbox.flush());
                if flushed >= ROUND {
                    flushed = 0;
                    yield_now().await;
                }
            }
        }
    }

    /// Takes the first of the list; false if there is none.
    fn take(&self, round: &mut Vec<Arc<Outbox>>) -> bool {
        let mut listed = lock(&self.listed);
        let count = listed.len().min(ROUND);
        round.extend(listed.drain(..count));
        count > 0
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

/// Puts an outbox on its shard's list when the system takes more; holds nothing that holds it.
pub(super) struct Rouse {
    outbox: Weak<Outbox>,
    shard: Arc<Shard>,
}

impl Rouse {
    pub(super) fn of(outbox: &Arc<Outbox>, shard: &Arc<Shard>) -> Waker {
        Waker::from(Arc::new(Self {
            outbox: Arc::downgrade(outbox),
            shard: shard.clone(),
        }))
    }
}

impl Wake for Rouse {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(outbox) = self.outbox.upgrade() {
            self.shard.list(&outbox);
        }
    }
}
