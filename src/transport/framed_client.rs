//! A client of a transport that encodes its own frames: its outbox, and how it is closed.
//!
//! It has the same outbox as a Socket.IO client, and so the same rules for slow readers. The transport says how events and the
//! last frame look. When a client has to close, [`FramedClient::closing`] wakes the transport's task, which gives the client
//! [`CLOSE_TIMEOUT`] to read that frame.

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
    AdmissionControl,
    wire::{Frame, Outbox, OutboxOwner},
};
use crate::{
    error::{Error, Result},
    hub::{
        ClientState, CloseReason, DeliveryPolicy, Drained, EventSink, Format, OutgoingEvent,
        PendingReply,
    },
    limits::{Account, ConnectionPermit, Exhausted},
    model::Namespace,
    retry::log_in_bursts,
    telemetry::{Gauge, Metrics},
};

/// How a transport encodes what goes to its clients.
pub(super) trait Framing: Send + Sync + 'static {
    /// The transport's name, for operators.
    const TRANSPORT: &'static str;

    /// The format that its encoded events are shared under; `None`: its clients are sent none.
    const FORMAT: Option<Format>;

    /// Encodes an event.
    fn frame(&self, event: &OutgoingEvent) -> Bytes;

    /// The last frame of a client that is closed, if the transport has one.
    fn close_frame(&self, reason: CloseReason) -> Option<Frame>;

    /// The close code that clients of this protocol know in place of a usual one.
    fn close_code(usual: u16) -> u16 {
        usual
    }
}

/// A client of a transport that encodes its own frames.
pub(super) struct FramedClient<F> {
    framing: F,
    namespace: Namespace,
    outbox: Arc<Outbox>,
    closed: AtomicBool,
    close_token: CancellationToken,
    metrics: Arc<Metrics>,
    /// Number of open clients of this transport.
    open: Gauge,
    permit: ConnectionPermit,
}

/// How long a closed client may take to read what is left for it.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl<F: Framing> FramedClient<F> {
    /// An admitted client, whose handshake may not be [complete](Self::complete_handshake); `open` counts it.
    pub(super) fn new(
        framing: F,
        admission: &AdmissionControl,
        permit: ConnectionPermit,
        open: &Gauge,
    ) -> Arc<Self> {
        let (bounds, shard) = admission.outbox_config();
        let metrics = admission.hub().metrics().clone();
        open.inc();
        Arc::new_cyclic(|client: &Weak<Self>| Self {
            framing,
            namespace: Namespace::root(),
            outbox: Outbox::new(bounds, shard, client.clone(), metrics.clone()),
            closed: AtomicBool::new(false),
            close_token: CancellationToken::new(),
            metrics,
            open: open.clone(),
            permit,
        })
    }

    /// It is known who the client is.
    pub(super) fn complete_handshake(&self) {
        self.permit.complete_handshake();
    }

    /// Its outbox.
    pub(super) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Queues a frame that is no event.
    pub(super) fn send(&self, frame: Frame) {
        self.outbox.push(frame, &DeliveryPolicy::Always);
    }

    /// Queues a frame that may be large, and charges it to `account` until it is sent.
    ///
    /// # Errors
    /// `unavailable`: there is no memory for it.
    pub(super) fn send_charged(&self, frame: Frame, account: &Account) -> Result<()> {
        let frame = frame
            .charged(account)
            .map_err(Exhausted::into_memory_error)?;
        self.send(frame);
        Ok(())
    }

    /// Returns when the client has to close.
    pub(super) async fn closing(&self) {
        self.close_token.cancelled().await;
    }

    /// Cancelled when the client has to close.
    pub(super) fn close_token(&self) -> &CancellationToken {
        &self.close_token
    }

    /// Whether the client has to close.
    pub(super) fn is_closing(&self) -> bool {
        self.close_token.is_cancelled()
    }

    /// Counts an error that was sent to the client.
    pub(super) fn count_error(&self, error: &Error) {
        self.metrics.error(error);
    }

    /// Counts that the server closes it, for a reason that is no [`CloseReason`].
    pub(super) fn count_close(&self, reason: &'static str) {
        self.metrics.closed(reason);
    }

    /// Closes the client behind a last frame. With `flush`, what else is queued is sent before that.
    pub(super) fn close_with(&self, last: Option<Frame>, flush: bool) {
        self.closed.store(true, Ordering::Relaxed);
        self.outbox.finish_with(last, flush);
        self.close_token.cancel();
    }
}

impl<F: Framing> OutboxOwner for FramedClient<F> {
    fn close(&self, reason: CloseReason) {
        if self.closed.swap(true, Ordering::Relaxed) {
            if reason == CloseReason::Slow {
                self.outbox.end(); // it does not read its last frame either
            }
            return;
        }
        let name = reason.as_str();
        self.metrics.closed(name);
        match reason {
            CloseReason::Draining => tracing::debug!(reason = name, "closing a connection"),
            _ => log_in_bursts!(info, reason = name, "closing a connection"),
        }
        self.close_with(
            self.framing.close_frame(reason),
            reason != CloseReason::Slow,
        );
    }
}

impl<F: Framing> EventSink for FramedClient<F> {
    fn push(&self, event: &OutgoingEvent) {
        let Some(format) = F::FORMAT else { return };
        let encoded = event.encoded(format, &self.namespace, |event| self.framing.frame(event));
        // Empty: the transport has no form for this event.
        if !encoded.is_empty() {
            self.outbox
                .push(Frame::of(encoded), event.delivery_policy());
        }
    }

    fn push_with_reply(&self, _: &OutgoingEvent, _: Duration) -> Option<PendingReply> {
        None
    }

    fn dropped(&self, events: u64) {
        self.outbox.count_dropped(events);
    }

    fn client(&self) -> ClientState {
        self.outbox.client_state(F::TRANSPORT)
    }

    fn is_behind(&self) -> bool {
        self.outbox.is_behind()
    }

    fn drained(&self) -> Drained {
        Box::pin(self.outbox.clone().drained())
    }

    fn close(&self, reason: CloseReason) {
        OutboxOwner::close(self, reason);
    }
}

impl<F> Drop for FramedClient<F> {
    fn drop(&mut self) {
        self.open.dec();
    }
}
