//! Whoever reads a room along without being a member: operators and back ends. Nobody sees them, and a slow one misses events
//! instead of holding up the room.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::sync::mpsc;

use crate::hub::event::OutgoingEvent;

/// Events that are queued for a reader, and bytes of them beyond which no more are; what does not fit is skipped.
const MAX_QUEUED: usize = 128;
const MAX_QUEUED_BYTES: usize = 256 << 10;

/// The readers of one room.
#[derive(Debug, Default)]
pub(in crate::hub) struct Tails(Vec<TailSender>);

#[derive(Debug)]
struct TailSender {
    events: mpsc::Sender<Arc<OutgoingEvent>>,
    counters: Arc<TailCounters>,
}

/// A reader's end.
#[derive(Debug)]
pub(in crate::hub) struct TailReceiver {
    events: mpsc::Receiver<Arc<OutgoingEvent>>,
    counters: Arc<TailCounters>,
}

#[derive(Debug, Default)]
struct TailCounters {
    queued_bytes: AtomicUsize,
    skipped: AtomicU64,
}

impl Tails {
    /// Adds a reader, until its receiver is closed.
    pub(in crate::hub) fn add(&mut self) -> TailReceiver {
        let (sender, events) = mpsc::channel(MAX_QUEUED);
        let counters = Arc::<TailCounters>::default();
        self.0.push(TailSender {
            events: sender,
            counters: counters.clone(),
        });
        TailReceiver { events, counters }
    }

    /// Queues an event for all readers.
    pub(in crate::hub) fn push(&self, event: &Arc<OutgoingEvent>) {
        for tail in &self.0 {
            tail.push(event);
        }
    }

    /// Removes readers that are gone.
    pub(in crate::hub) fn retain_open(&mut self) {
        self.0.retain(|tail| !tail.events.is_closed());
    }

    /// Whether nobody reads.
    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TailSender {
    /// Only the task that delivers to the room calls this, so nothing is queued between the check and the sending.
    fn push(&self, event: &Arc<OutgoingEvent>) {
        let queued = &self.counters.queued_bytes;
        if queued.load(Ordering::Relaxed) < MAX_QUEUED_BYTES {
            // Before it is sent, because it is subtracted as soon as it is received.
            queued.fetch_add(event.cost(), Ordering::Relaxed);
            if self.events.try_send(event.clone()).is_ok() {
                return;
            }
            queued.fetch_sub(event.cost(), Ordering::Relaxed);
        }
        self.counters.skipped.fetch_add(1, Ordering::Relaxed);
    }
}

impl TailReceiver {
    /// The next event; `None` if the room has ended. Cancel-safe.
    pub(in crate::hub) async fn recv(&mut self) -> Option<Arc<OutgoingEvent>> {
        let event = self.events.recv().await?;
        let queued = &self.counters.queued_bytes;
        queued.fetch_sub(event.cost(), Ordering::Relaxed);
        Some(event)
    }

    /// Receives nothing more.
    pub(in crate::hub) fn close(&mut self) {
        self.events.close();
    }

    /// How many events were skipped since the last call, because the reader was too slow.
    pub(in crate::hub) fn take_skipped(&self) -> u64 {
        self.counters.skipped.swap(0, Ordering::Relaxed)
    }
}
