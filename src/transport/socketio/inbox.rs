//! The queue between socketioxide's read loop and the one task that handles a connection's events in order.
//!
//! A client that sends faster than its events are handled is not read for a while (see [`Outbox::brake`]). What it has sent
//! already, the rest of a payload of polling above all, still finds a place; only what is more than that is refused.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::json;
use socketioxide::handler::MessageHandler;
use socketioxide_core::Value;
use tokio::sync::Notify;

use super::{Adapter, Socket, intake::RAW, packet::Packet};
use crate::{
    error::{Code, Error, Limit},
    hub::{Keep, Outgoing},
    limits::Charge,
    model::Namespace,
    telemetry::Metrics,
    transport::{
        lock,
        wire::{Frame, Outbox},
    },
};

/// How much may wait; past half of `events` or `bytes` the client is not read any further.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// What may come in one go all the same.
    pub(super) payload: usize,
}

/// Bytes that cost nothing of the node's memory.
pub(super) const FREE: usize = 32 << 10;

/// What a packet takes of memory beside its bytes, about.
const OVERHEAD: usize = 128;

/// What waits, and whether there will be more.
struct Queue {
    packets: VecDeque<Packet>,
    bytes: usize,
    charge: Charge,
    /// There is no memory for more than waits.
    short: bool,
    /// The client is not read meanwhile.
    braking: bool,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Notify,
    bounds: Bounds,
    /// What is told that the client is sending too fast. Holds nothing that holds the socket.
    outbox: Arc<Outbox>,
}

/// The end that socketioxide fills: its read loop calls this for each event, in the order they came.
///
/// It holds nothing that holds the socket, which holds it.
pub(super) struct Inbox {
    shared: Arc<Shared>,
    namespace: Namespace,
    metrics: Arc<Metrics>,
}

/// The end that the connection's task empties.
pub(super) struct Waiting(Arc<Shared>);

fn weight(packet: &Packet) -> usize {
    packet.bytes() + OVERHEAD
}

/// Two ends of one queue.
pub(super) fn inbox(
    bounds: Bounds,
    namespace: Namespace,
    (outbox, charge): (Arc<Outbox>, Charge),
    metrics: Arc<Metrics>,
) -> (Inbox, Waiting) {
    let queue = Queue {
        packets: VecDeque::new(),
        bytes: 0,
        charge,
        short: false,
        braking: false,
        closed: false,
    };
    let shared = Arc::new(Shared {
        queue: Mutex::new(queue),
        filled: Notify::new(),
        bounds,
        outbox,
    });
    let inbox = Inbox {
        shared: shared.clone(),
        namespace,
        metrics,
    };
    (inbox, Waiting(shared))
}

impl Queue {
    /// Reserves memory for what waits. It is there already, so without any it stays, and the client is not read any further.
    fn cover(&mut self) {
        self.short = self.charge.cover(self.bytes).is_err();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Queues a packet, or gives it back.
    fn offer(&self, packet: Packet) -> Result<(), Packet> {
        let bytes = weight(&packet);
        let mut queue = self.lock();
        // One packet always fits: its size was bounded when it was read.
        let most = self.bounds.bytes.saturating_add(self.bounds.payload);
        let full = queue.bytes > 0 && queue.bytes.saturating_add(bytes) > most;
        if full || queue.closed {
            return Err(packet);
        }
        queue.bytes += bytes;
        queue.packets.push_back(packet);
        queue.cover();
        if !queue.braking && self.is_filling(&queue) {
            queue.braking = true;
            self.outbox.brake();
        }
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes the next packet, if there is one; `Err` when there will be none.
    fn take(&self) -> Result<Option<Packet>, ()> {
        let mut queue = self.lock();
        let Some(packet) = queue.packets.pop_front() else {
            return if queue.closed { Err(()) } else { Ok(None) };
        };
        queue.bytes -= weight(&packet);
        queue.cover();
        let easy = queue.braking && !self.is_filling(&queue);
        if easy {
            queue.braking = false;
        }
        drop(queue);
        if easy {
            self.outbox.ease();
        }
        Ok(Some(packet))
    }

    /// Half of what may wait does, or there is no memory for more.
    fn is_filling(&self, queue: &Queue) -> bool {
        queue.short
            || queue.packets.len() > self.bounds.events / 2
            || queue.bytes > self.bounds.bytes / 2
    }
}

impl Inbox {
    /// Answers a packet that found no place.
    fn refuse(&self, packet: &Packet) {
        let error = Error::new(
            Code::RateLimited,
            "events come faster than they can be handled: limits.inbox_bytes is reached",
        )
        .for_limit(Limit::Inbox)
        .retry_after(std::time::Duration::from_millis(100));
        self.metrics.error(&error);
        let frame = match packet.ack {
            Some(id) => Frame::ack(&self.namespace, id, &json!({ "ok": false, "error": error })),
            None => {
                let notice = Outgoing::notice("error", &error);
                let arguments = notice.arguments();
                Frame::event(&self.namespace, &arguments.name, &arguments.values)
            }
        };
        self.shared.outbox.push(frame, &Keep::Always);
    }
}

/// Names this handler to socketioxide, which tells handlers apart by their arguments.
pub(super) enum WholePacket {}

impl MessageHandler<Adapter, WholePacket> for Inbox {
    fn call(&self, _: Arc<Socket>, value: Value, ack: Option<i64>) {
        let Value::Str(text, attachments) = value else {
            return; // the common parser makes no other
        };
        let text = match text.starts_with(RAW) {
            true => text.slice(RAW.len()..),
            false => text,
        };
        let packet = Packet {
            text,
            attachments,
            ack,
        };
        if let Err(packet) = self.shared.offer(packet) {
            self.refuse(&packet);
        }
    }
}

impl Waiting {
    /// The next packet; `None` when there will be none.
    pub(super) async fn next(&mut self) -> Option<Packet> {
        loop {
            match self.0.take() {
                Ok(Some(packet)) => return Some(packet),
                Ok(None) => self.0.filled.notified().await,
                Err(()) => return None,
            }
        }
    }

    /// Takes no more; what waits is still given out.
    pub(super) fn close(&mut self) {
        self.0.lock().closed = true;
        self.0.filled.notify_one();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        queue.packets.clear();
        queue.bytes = 0;
        queue.cover();
        if std::mem::take(&mut queue.braking) {
            drop(queue);
            self.0.outbox.ease();
        }
    }
}

#[cfg(test)]
mod tests;
