//! The outboxes that have something to write, and those that are watched for stalling. The [writer
//! pool](super::writer_pool) works both off.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::Instant,
};

use tokio::sync::Notify;

use crate::sync::lock;

/// What the queue needs of an outbox.
pub(super) trait QueuedWriter: Send + Sync {
    /// Writes as much as the socket takes now.
    fn write_queued(self: Arc<Self>);

    /// Checks for a stall. Returns false if the outbox need not be watched any more.
    fn check_stall(&self, now: Instant) -> bool;
}

/// Work for the writer pool.
#[derive(Default)]
pub(in crate::transport) struct WriteQueue {
    /// Outboxes with something to write.
    ready: Mutex<VecDeque<Arc<dyn QueuedWriter>>>,
    /// Outboxes whose client has not taken everything.
    watched: Mutex<Vec<Arc<dyn QueuedWriter>>>,
    work: Notify,
    /// A batch of deliveries is being queued: writing waits for its end.
    batching: AtomicBool,
}

impl WriteQueue {
    /// Queues an outbox for writing.
    pub(super) fn enqueue(&self, outbox: Arc<dyn QueuedWriter>) {
        let mut ready = lock(&self.ready);
        ready.push_back(outbox);
        if ready.len() == 1 {
            drop(ready);
            self.wake_writer();
        }
    }

    /// Wakes a writer task, unless a batch is being queued.
    pub(super) fn wake_writer(&self) {
        if !self.is_batching() {
            self.work.notify_one();
        }
    }

    /// Waits until a writer is woken.
    pub(super) async fn work_available(&self) {
        self.work.notified().await;
    }

    /// Moves up to `count` outboxes from the front of the queue into `round`. Returns false if there was none.
    pub(super) fn take_round(&self, round: &mut Vec<Arc<dyn QueuedWriter>>, count: usize) -> bool {
        let mut ready = lock(&self.ready);
        let count = ready.len().min(count);
        round.extend(ready.drain(..count));
        count > 0
    }

    /// Defers writing until the batch has ended, or ends the batch; wakes nobody.
    pub(super) fn set_batching(&self, batching: bool) {
        self.batching.store(batching, Ordering::SeqCst);
    }

    pub(super) fn is_batching(&self) -> bool {
        self.batching.load(Ordering::SeqCst)
    }

    /// Watches an outbox for stalling until nothing is queued there.
    pub(super) fn watch(&self, outbox: Arc<dyn QueuedWriter>) {
        lock(&self.watched).push(outbox);
    }

    /// Checks every watched outbox for a stall.
    pub(super) fn check_stalls(&self, now: Instant) {
        let mut watched = std::mem::take(&mut *lock(&self.watched));
        watched.retain(|outbox| outbox.check_stall(now));
        lock(&self.watched).append(&mut watched);
    }

    /// Writes once to each queued outbox. Returns false if there was none.
    #[cfg(test)]
    pub(super) fn flush_all(&self) -> bool {
        let ready = std::mem::take(&mut *lock(&self.ready));
        let any = !ready.is_empty();
        ready.into_iter().for_each(QueuedWriter::write_queued);
        any
    }

    /// A waker that queues `outbox` once its socket takes more. It holds no strong reference to the outbox.
    pub(super) fn waker_for<T: QueuedWriter + 'static>(self: &Arc<Self>, outbox: &Arc<T>) -> Waker {
        let outbox: Weak<dyn QueuedWriter> = Arc::<T>::downgrade(outbox);
        Waker::from(Arc::new(QueueWaker {
            outbox,
            queue: self.clone(),
        }))
    }
}

struct QueueWaker {
    outbox: Weak<dyn QueuedWriter>,
    queue: Arc<WriteQueue>,
}

impl Wake for QueueWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(outbox) = self.outbox.upgrade() {
            self.queue.enqueue(outbox);
        }
    }
}
