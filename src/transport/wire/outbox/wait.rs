//! What tasks can wait for at an [`Outbox`]: that it is nearly empty, that it has ended, that its client may be read again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Context,
};

use super::Outbox;

impl Outbox {
    /// Waits until the queue is nearly empty or the outbox has ended.
    pub(in crate::transport) async fn drained(self: Arc<Self>) {
        let _counted = CountedWaiter::new(&self.drain_waiters);
        loop {
            let mut drained = std::pin::pin!(self.drained.notified());
            drained.as_mut().enable();
            if self.is_nearly_empty(self.bytes.load(Ordering::SeqCst)) || self.has_ended() {
                return;
            }
            drained.await;
        }
    }

    /// Whether the outbox has ended.
    pub(in crate::transport) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Waits until the outbox has ended.
    pub(in crate::transport) async fn ended(&self) {
        loop {
            // Its end notifies those that wait for an empty queue, too.
            let mut notified = std::pin::pin!(self.drained.notified());
            notified.as_mut().enable();
            if self.has_ended() {
                return;
            }
            notified.await;
        }
    }

    /// Registers the one task that reads from the client. Returns true if it need not wait: the outbox has ended, or, unless
    /// it waits `for_bytes`, reading is not paused.
    pub(in crate::transport::wire) fn register_reader(
        &self,
        context: &Context<'_>,
        for_bytes: bool,
    ) -> bool {
        let mut state = self.lock();
        let waker = context.waker();
        if state
            .reader
            .as_ref()
            .is_none_or(|before| !before.will_wake(waker))
        {
            state.reader = Some(waker.clone());
        }
        state.ended || (!for_bytes && !self.reads_paused())
    }

    /// Whether reading is paused: an inbox is full.
    pub(in crate::transport) fn reads_paused(&self) -> bool {
        self.paused_reads.load(Ordering::SeqCst) > 0
    }

    /// How often reading was resumed.
    pub(in crate::transport) fn resume_count(&self) -> usize {
        self.resume_count.load(Ordering::SeqCst)
    }

    /// Waits until reading is not paused.
    pub(in crate::transport) async fn reads_resumed(&self) {
        loop {
            let mut resumed = std::pin::pin!(self.resumed.notified());
            resumed.as_mut().enable();
            if !self.reads_paused() {
                return;
            }
            resumed.await;
        }
    }

    /// Stops reading from the client, because an inbox is full. Each call needs one of [`resume_reads`](Self::resume_reads).
    pub(in crate::transport) fn pause_reads(&self) {
        self.paused_reads.fetch_add(1, Ordering::SeqCst);
    }

    /// That inbox has room again.
    pub(in crate::transport) fn resume_reads(&self) {
        self.resume_count.fetch_add(1, Ordering::SeqCst);
        self.paused_reads.fetch_sub(1, Ordering::SeqCst);
        self.resumed.notify_waiters();
        let reader = self.lock().reader.take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Counts a waiting task until it is dropped.
struct CountedWaiter<'a>(&'a AtomicUsize);

impl<'a> CountedWaiter<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for CountedWaiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
