//! What tasks wait for of an [`Outbox`]: that little waits in it, that it has ended, that its client may be read again.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use super::Outbox;

impl Outbox {
    /// Ready when little waits, or nothing is taken any more.
    pub(in crate::transport) async fn drained(self: Arc<Self>) {
        let _awaiting = Awaiting::of(&self.awaited);
        loop {
            let mut drained = std::pin::pin!(self.drained.notified());
            drained.as_mut().enable();
            let little = self.bytes.load(Ordering::SeqCst) <= self.bounds.bytes / 4;
            if little || self.ended.load(Ordering::SeqCst) {
                return;
            }
            drained.await;
        }
    }

    /// Whether the stream has ended.
    pub(in crate::transport) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Returns once the stream has ended. For a session that no WebSocket is read of: its task would be woken instead.
    pub(in crate::transport) async fn ended(&self) {
        poll_fn(|context| match self.waits_to_read(context, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Returns once the stream has ended, whoever else waits for that.
    pub(in crate::transport) async fn over(&self) {
        loop {
            // Whoever waits for an outbox to be drained is told of its end, too.
            let mut told = std::pin::pin!(self.drained.notified());
            told.as_mut().enable();
            if self.has_ended() {
                return;
            }
            told.await;
        }
    }

    /// Notes that a task waits for something to read; true if that is over: the stream has ended, or, unless it waits for
    /// bytes, the brakes are off.
    pub(in crate::transport::wire) fn waits_to_read(
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
        state.ended || (!for_bytes && !self.brakes())
    }

    /// Whether an inbox is full.
    pub(in crate::transport) fn brakes(&self) -> bool {
        self.brakes.load(Ordering::SeqCst) > 0
    }

    /// How often an inbox that was full had room again.
    pub(in crate::transport) fn eases(&self) -> usize {
        self.eases.load(Ordering::SeqCst)
    }

    /// Ready when no inbox is full.
    pub(in crate::transport) async fn eased(&self) {
        loop {
            let mut eased = std::pin::pin!(self.eased.notified());
            eased.as_mut().enable();
            if !self.brakes() {
                return;
            }
            eased.await;
        }
    }

    /// An inbox is full: the client is not read for a while.
    pub(in crate::transport) fn brake(&self) {
        self.brakes.fetch_add(1, Ordering::SeqCst);
    }

    /// That inbox has room again.
    pub(in crate::transport) fn ease(&self) {
        self.eases.fetch_add(1, Ordering::SeqCst);
        self.brakes.fetch_sub(1, Ordering::SeqCst);
        self.eased.notify_waiters();
        let reader = self.lock().reader.take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Somebody who waits, counted for as long as this lives.
struct Awaiting<'a>(&'a AtomicUsize);

impl<'a> Awaiting<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
