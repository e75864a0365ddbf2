//! One client of a door that writes frames of its own: its way out, and how that ends.
//!
//! The same outbox as for Socket.IO, and so the same rules for whoever reads slowly. A door says how events look and what
//! its last word is; when a peer is to end, [`Peer::ending`] tells the door's task, which gives the client a moment to take
//! that word.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{
    Doorway,
    wire::{Frame, Outbox, OutboxOwner},
};
use crate::{
    error::Error,
    hub::{CloseReason, DeliveryPolicy, Drained, EventSink, Format, Outgoing, PendingReply},
    limits::ConnectionPermit,
    model::Namespace,
    retry::log_in_bursts,
    telemetry::{Gauge, Metrics},
};

/// How a door that writes frames of its own looks from the hub's side.
pub(super) trait Framing: Send + Sync + 'static {
    /// Which of an event's encodings this is.
    const FORMAT: Format;

    /// An event's frame.
    fn frame(&self, event: &Outgoing) -> Bytes;

    /// The last frame for a client that is closed; `None`: the end says it all.
    fn last_word(&self, why: CloseReason) -> Option<Frame>;
}

/// A client.
pub(super) struct Peer<F> {
    framing: F,
    namespace: Namespace,
    outbox: Arc<Outbox>,
    closed: AtomicBool,
    ending: CancellationToken,
    metrics: Arc<Metrics>,
    /// How many of its kind there are.
    open: Gauge,
    _admitted: ConnectionPermit,
}

/// How long a client that is closed may take for what it is still to be given.
pub(super) const LAST_WORD: Duration = Duration::from_secs(2);

impl<F: Framing> Peer<F> {
    /// A client that was admitted; `open` counts it.
    pub(super) fn new(
        framing: F,
        doorway: &Doorway,
        admitted: ConnectionPermit,
        open: &Gauge,
    ) -> Arc<Self> {
        let (bounds, shard) = doorway.way_out();
        let metrics = doorway.hub().metrics().clone();
        admitted.complete_handshake();
        open.inc();
        Arc::new_cyclic(|peer: &Weak<Self>| Self {
            framing,
            namespace: Namespace::root(),
            outbox: Outbox::new(bounds, shard, peer.clone(), metrics.clone()),
            closed: AtomicBool::new(false),
            ending: CancellationToken::new(),
            metrics,
            open: open.clone(),
            _admitted: admitted,
        })
    }

    /// Its way out.
    pub(super) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Queues what is no event.
    pub(super) fn send(&self, frame: Frame) {
        self.outbox.push(frame, &DeliveryPolicy::Always);
    }

    /// Ready when it is to end.
    pub(super) async fn ending(&self) {
        self.ending.cancelled().await;
    }

    /// Cancelled when it is to end.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ending
    }

    /// Whether it is to end.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }

    /// Counts an error that its client is told.
    pub(super) fn count_error(&self, error: &Error) {
        self.metrics.error(error);
    }

    /// Counts that the server ends it, for a reason that is no [`CloseReason`].
    pub(super) fn count_end(&self, reason: &'static str) {
        self.metrics.closed(reason);
    }

    /// Ends it behind a last frame. What else waits goes before that, if the client is to have `all`.
    pub(super) fn end(&self, last: Option<Frame>, all: bool) {
        self.closed.store(true, Ordering::Relaxed);
        self.outbox.finish_with(last, all);
        self.ending.cancel();
    }
}

impl<F: Framing> OutboxOwner for Peer<F> {
    fn close(&self, why: CloseReason) {
        if self.closed.swap(true, Ordering::Relaxed) {
            if why == CloseReason::Slow {
                self.outbox.end(); // it does not take its last word either
            }
            return;
        }
        let reason = why.as_str();
        self.metrics.closed(reason);
        match why {
            CloseReason::Draining => tracing::debug!(reason, "a connection is closed"),
            _ => log_in_bursts!(info, reason, "a connection is closed by the server"),
        }
        self.end(self.framing.last_word(why), why != CloseReason::Slow);
    }
}

impl<F: Framing> EventSink for Peer<F> {
    fn push(&self, event: &Outgoing) {
        let encoded = event.encoded(F::FORMAT, &self.namespace, |event| {
            self.framing.frame(event)
        });
        self.outbox
            .push(Frame::of(encoded), event.delivery_policy());
    }

    fn push_with_reply(&self, _: &Outgoing, _: Duration) -> Option<PendingReply> {
        None
    }

    fn dropped(&self, events: u64) {
        self.outbox.count_dropped(events);
    }

    fn is_behind(&self) -> bool {
        self.outbox.is_behind()
    }

    fn drained(&self) -> Drained {
        Box::pin(self.outbox.clone().drained())
    }

    fn close(&self, why: CloseReason) {
        OutboxOwner::close(self, why);
    }
}

impl<F> Drop for Peer<F> {
    fn drop(&mut self) {
        self.open.dec();
    }
}
