//! The queue between socketioxide's read loop and the worker that handles a connection's events in order.
//!
//! A client that sends faster than its events are handled is not read for a while (see [`Outbox::pause_reads`]). What it has sent
//! already, the rest of a POST's payload above all, is still queued; only what exceeds that is refused.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::json;
use socketioxide::handler::MessageHandler;
use socketioxide_core::Value;
use tokio::sync::Notify;

use super::{Adapter, Socket, event_packet::EventPacket, inbound::RAW_EVENT};
use crate::{
    error::{Code, Error, Limit},
    hub::{DeliveryPolicy, OutgoingEvent},
    limits::Charge,
    model::Namespace,
    sync::lock,
    telemetry::Metrics,
    transport::wire::{Frame, Outbox},
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

/// Memory that a packet takes besides its bytes, approximately.
const PACKET_OVERHEAD: usize = 128;

struct InboxQueue {
    packets: VecDeque<EventPacket>,
    bytes: usize,
    charge: Charge,
    /// There is no memory for more packets.
    memory_exhausted: bool,
    /// This inbox has paused reading from the client.
    reads_paused: bool,
    closed: bool,
}

struct Inbox {
    queue: Mutex<InboxQueue>,
    not_empty: Notify,
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
        bytes: 0,
        charge,
        memory_exhausted: false,
        reads_paused: false,
        closed: false,
    };
    let inbox = Arc::new(Inbox {
        queue: Mutex::new(queue),
        not_empty: Notify::new(),
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
        drop(queue);
        self.not_empty.notify_one();
        Ok(())
    }

    /// Takes the next packet, if there is one; `Err` if there will be none.
    fn pop(&self) -> Result<Option<EventPacket>, ()> {
        let mut queue = self.lock();
        let Some(packet) = queue.packets.pop_front() else {
            return if queue.closed { Err(()) } else { Ok(None) };
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
        Ok(Some(packet))
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
    /// Waits for the next packet; `None` if there will be none.
    pub(super) async fn next(&mut self) -> Option<EventPacket> {
        loop {
            match self.0.pop() {
                Ok(Some(packet)) => return Some(packet),
                Ok(None) => self.0.not_empty.notified().await,
                Err(()) => return None,
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
