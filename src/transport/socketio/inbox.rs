//! The queue between socketioxide's read loop and the worker that handles a connection's events in order.
//!
//! While there is nothing to do the worker need not have a task ([`parking`](super::parking)): the inbox keeps it, and the next packet
//! resumes it.
//!
//! A client that sends faster than its events are handled is not read for a while (see [`Outbox::pause_reads`]). What it has sent
//! already, the rest of a POST's payload above all, is still queued; only what exceeds that is refused.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use socketioxide::handler::MessageHandler;
use socketioxide_core::Value;
use tokio::{sync::Notify, time::Instant};

use super::{Adapter, Socket, event_packet::EventPacket, inbound::RAW_EVENT};
use crate::{
    error::{Code, Error, Limit},
    hub::{CloseReason, DeliveryPolicy, OutgoingEvent},
    limits::Charge,
    model::Namespace,
    sync::lock,
    telemetry::Metrics,
    transport::wire::{Frame, Outbox, document_of},
};

/// Bounds of an inbox. Past half of `events` or `bytes` the client is not read any further.
#[derive(Clone, Copy, Debug)]
pub(super) struct InboxLimits {
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// Bytes beyond `bytes` that one payload may still add.
    pub(super) payload: usize,
}

/// Queued bytes that are not charged to the node's memory limit.
pub(super) const UNCHARGED_BYTES: usize = 32 << 10;

/// Resumes a worker that has no task.
pub(super) type ParkedWorker = Box<dyn FnOnce() + Send>;

/// What the worker of an inbox gets next.
pub(super) enum Received {
    Packet(EventPacket),
    /// There is nothing, and has been nothing for a while: the worker may give up its task.
    Quiet,
    /// There will be no more packets.
    Ended,
}

/// Memory that a packet takes besides its bytes, approximately.
const PACKET_OVERHEAD: usize = 128;

struct InboxQueue {
    packets: VecDeque<EventPacket>,
    /// The worker, while it has no task.
    parked: Option<ParkedWorker>,
    /// The worker is asked to give up its task.
    park_requested: bool,
    /// When it is resumed at the latest, as far as that is scheduled.
    resumed_at: Option<Instant>,
    bytes: usize,
    charge: Charge,
    /// There is no memory for more packets.
    memory_exhausted: bool,
    /// This inbox has paused reading from the client.
    reads_paused: bool,
    closed: bool,
}

/// The queue of one connection.
pub(super) struct Inbox {
    queue: Mutex<InboxQueue>,
    not_empty: Notify,
    /// A packet has been queued since the last [`ask_to_park`](Self::ask_to_park).
    used: AtomicBool,
    limits: InboxLimits,
    /// Pauses reading from the client. Holds nothing that holds the socket.
    outbox: Arc<Outbox>,
}

/// The end that socketioxide fills: its read loop calls this for each event, in the order they came.
///
/// It is held by the socket, so it must not hold anything that holds the socket.
pub(super) struct InboxSender {
    inbox: Arc<Inbox>,
    namespace: Namespace,
    metrics: Arc<Metrics>,
}

/// The end that the connection's worker empties.
pub(super) struct InboxReceiver(Arc<Inbox>);

/// Creates an inbox. Returns its two ends.
pub(super) fn channel(
    limits: InboxLimits,
    namespace: Namespace,
    (outbox, charge): (Arc<Outbox>, Charge),
    metrics: Arc<Metrics>,
) -> (InboxSender, InboxReceiver) {
    let queue = InboxQueue {
        packets: VecDeque::new(),
        parked: None,
        park_requested: false,
        resumed_at: None,
        bytes: 0,
        charge,
        memory_exhausted: false,
        reads_paused: false,
        closed: false,
    };
    let inbox = Arc::new(Inbox {
        queue: Mutex::new(queue),
        not_empty: Notify::new(),
        used: AtomicBool::new(true),
        limits,
        outbox,
    });
    let sender = InboxSender {
        inbox: inbox.clone(),
        namespace,
        metrics,
    };
    (sender, InboxReceiver(inbox))
}

fn memory_size(packet: &EventPacket) -> usize {
    packet.bytes() + PACKET_OVERHEAD
}

impl InboxQueue {
    /// Charges the queued bytes. They are in memory already, so if the limit is exhausted they stay, and the client is not
    /// read any further.
    fn update_charge(&mut self) {
        self.memory_exhausted = self.charge.resize(self.bytes).is_err();
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxQueue> {
        lock(&self.queue)
    }

    /// Queues a packet, or returns it if there is no room.
    fn push(&self, packet: EventPacket) -> Result<(), EventPacket> {
        let bytes = memory_size(&packet);
        let mut queue = self.lock();
        // One packet always fits: its size was limited when it was read.
        let limit = self.limits.bytes.saturating_add(self.limits.payload);
        let full = queue.bytes > 0 && queue.bytes.saturating_add(bytes) > limit;
        if full || queue.closed {
            return Err(packet);
        }
        queue.bytes += bytes;
        queue.packets.push_back(packet);
        queue.update_charge();
        if !queue.reads_paused && self.is_half_full(&queue) {
            queue.reads_paused = true;
            self.outbox.pause_reads();
        }
        self.used.store(true, Ordering::Relaxed);
        self.wake_worker(queue);
        Ok(())
    }

    /// Wakes the worker, or gives it a task again.
    fn wake_worker(&self, mut queue: MutexGuard<'_, InboxQueue>) {
        let parked = queue.parked.take();
        drop(queue);
        match parked {
            Some(resume) => resume(),
            None => self.not_empty.notify_one(),
        }
    }

    /// Gives the worker a task again, if it has none.
    pub(super) fn resume_worker(&self) {
        self.wake_worker(self.lock());
    }

    /// Keeps a worker that gives up its task until there is something for it. It has it back at once if there is already, or if
    /// `ended`.
    pub(super) fn park(&self, worker: ParkedWorker, ended: impl FnOnce() -> bool) {
        let mut queue = self.lock();
        // Who ends the socket resumes the worker after that: either it is parked by then, or this sees the end.
        if queue.packets.is_empty() && !queue.closed && !ended() {
            queue.packets = VecDeque::new();
            queue.parked = Some(worker);
        } else {
            drop(queue);
            worker();
        }
    }

    /// Notes that the worker has to be resumed at `at`. Returns whether that is to be scheduled: not if it is resumed earlier anyway, and
    /// can say then when it wants to be resumed next.
    pub(super) fn schedule(&self, at: Instant) -> bool {
        let mut queue = self.lock();
        let is_earlier = queue.resumed_at.is_none_or(|known| at < known);
        if is_earlier {
            queue.resumed_at = Some(at);
        }
        is_earlier
    }

    /// Resumes the worker as scheduled for `at`.
    pub(super) fn resume_scheduled(&self, at: Instant) {
        let mut queue = self.lock();
        if queue.resumed_at == Some(at) {
            queue.resumed_at = None;
        }
        self.wake_worker(queue);
    }

    /// Asks the worker to give up its task, unless it has been used since the last call. Returns whether it was asked.
    pub(super) fn ask_to_park(&self) -> bool {
        if self.used.swap(false, Ordering::Relaxed) {
            return false;
        }
        let mut queue = self.lock();
        queue.park_requested = true;
        drop(queue);
        self.not_empty.notify_one();
        true
    }

    /// Takes what the worker gets next, if there is anything.
    fn pop(&self) -> Option<Received> {
        let mut queue = self.lock();
        let Some(packet) = queue.packets.pop_front() else {
            return match queue.closed {
                true => Some(Received::Ended),
                false => std::mem::take(&mut queue.park_requested).then_some(Received::Quiet),
            };
        };
        queue.bytes -= memory_size(&packet);
        queue.update_charge();
        let resume = queue.reads_paused && !self.is_half_full(&queue);
        if resume {
            queue.reads_paused = false;
        }
        drop(queue);
        if resume {
            self.outbox.resume_reads();
        }
        Some(Received::Packet(packet))
    }

    /// Whether it is more than half full, or there is no memory for more.
    fn is_half_full(&self, queue: &InboxQueue) -> bool {
        queue.memory_exhausted
            || queue.packets.len() > self.limits.events / 2
            || queue.bytes > self.limits.bytes / 2
    }
}

impl InboxSender {
    /// Responds to a packet that does not fit.
    fn refuse(&self, packet: &EventPacket) {
        let error = Error::new(
            Code::RateLimited,
            "events come faster than they can be handled: limits.inbox_bytes is reached",
        )
        .for_limit(Limit::Inbox)
        .retry_after(Duration::from_millis(100));
        self.metrics.error(&error);
        if document_of(self.namespace.as_str()).is_some() {
            // Its client takes what it has sent for stored; it sends it again when it has connected again.
            let outbox = self.inbox.outbox.clone();
            tokio::spawn(async move { outbox.close_as(CloseReason::Failed) });
            return;
        }
        let frame = match packet.ack {
            Some(id) => Frame::ack(&self.namespace, id, &json!({ "ok": false, "error": error })),
            None => {
                let notice = OutgoingEvent::notice("error", &error);
                let arguments = notice.arguments();
                Frame::event(&self.namespace, &arguments.name, &arguments.values)
            }
        };
        self.inbox.outbox.push(frame, &DeliveryPolicy::Always);
    }
}

/// Names this handler to socketioxide, which tells handlers apart by their arguments.
pub(super) enum RawPacketHandler {}

impl MessageHandler<Adapter, RawPacketHandler> for InboxSender {
    fn call(&self, _: Arc<Socket>, value: Value, ack: Option<i64>) {
        let Value::Str(text, attachments) = value else {
            return; // the common parser never returns another variant
        };
        let is_raw = text.starts_with(RAW_EVENT);
        let packet = EventPacket {
            text: match is_raw {
                true => text.slice(RAW_EVENT.len()..),
                false => text,
            },
            attachments,
            ack,
            is_json: !is_raw,
        };
        if let Err(packet) = self.inbox.push(packet) {
            self.refuse(&packet);
        }
    }
}

impl InboxReceiver {
    /// The queue itself.
    pub(super) fn inbox(&self) -> &Arc<Inbox> {
        &self.0
    }

    /// Waits for the next packet, or until the worker is asked to give up its task.
    pub(super) async fn next(&mut self) -> Received {
        loop {
            match self.0.pop() {
                Some(received) => return received,
                None => self.0.not_empty.notified().await,
            }
        }
    }

    /// Accepts no more packets; those that are queued can still be received.
    pub(super) fn close(&mut self) {
        self.0.lock().closed = true;
        self.0.not_empty.notify_one();
    }
}

impl Drop for InboxReceiver {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        queue.packets.clear();
        queue.bytes = 0;
        queue.update_charge();
        if std::mem::take(&mut queue.reads_paused) {
            drop(queue);
            self.0.outbox.resume_reads();
        }
    }
}

#[cfg(test)]
mod tests;
