//! The queue between socketioxide's read loop and the one task that handles a connection's events in order.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;
use socketioxide::{
    adapter::LocalAdapter,
    extract::AckSender,
    handler::{FromMessageParts, MessageHandler},
    socket::Socket,
};
use socketioxide_core::Value;
use tokio::sync::mpsc;

use super::packet::Packet;
use crate::{
    error::{Code, Error, Limit},
    telemetry::Metrics,
};

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// The end that socketioxide fills: its read loop calls this for each event, in the order they came.
///
/// It holds nothing that holds the socket, which holds it.
pub(super) struct Inbox {
    packets: mpsc::Sender<Packet>,
    bytes: Arc<AtomicUsize>,
    bounds: Bounds,
    metrics: Arc<Metrics>,
}

/// The end that the connection's task empties.
pub(super) struct Waiting {
    packets: mpsc::Receiver<Packet>,
    bytes: Arc<AtomicUsize>,
}

/// Two ends of one queue.
pub(super) fn inbox(bounds: Bounds, metrics: Arc<Metrics>) -> (Inbox, Waiting) {
    let (sender, receiver) = mpsc::channel(bounds.events.max(1));
    let bytes = Arc::new(AtomicUsize::new(0));
    let inbox = Inbox {
        packets: sender,
        bytes: bytes.clone(),
        bounds,
        metrics,
    };
    let waiting = Waiting {
        packets: receiver,
        bytes,
    };
    (inbox, waiting)
}

impl Inbox {
    /// Queues a packet, or gives it back.
    fn offer(&self, packet: Packet) -> Result<(), Packet> {
        let bytes = packet.bytes();
        // The read loop is the only one that adds, so the sum cannot pass the bound between look and add. One packet
        // always fits: its size was bounded when it was read.
        let waiting = self.bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting.saturating_add(bytes) > self.bounds.bytes {
            return Err(packet);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.packets.try_send(packet).map_err(|refused| {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            refused.into_inner()
        })
    }

    /// Answers a packet that found no place.
    fn refuse(&self, socket: &Socket, packet: Packet) {
        let error = Error::new(
            Code::RateLimited,
            "events come faster than they can be handled: limits.inbox is reached",
        )
        .for_limit(Limit::Inbox)
        .retry_after(std::time::Duration::from_millis(100));
        self.metrics.error(&error);
        // Whether this finds a place itself is the client's concern: it asked for more than it takes.
        match packet.ack {
            Some(ack) => drop(ack.send(&json!({ "ok": false, "error": error }))),
            None => drop(socket.emit("error", &error)),
        }
    }
}

/// Names this handler to socketioxide, which tells handlers apart by their arguments.
pub(super) enum WholePacket {}

impl MessageHandler<LocalAdapter, WholePacket> for Inbox {
    fn call(&self, socket: Arc<Socket>, mut value: Value, ack_id: Option<i64>) {
        let ack = ack_id.map(|_| {
            let Ok(ack) = AckSender::from_message_parts(&socket, &mut value, &ack_id);
            ack
        });
        let Value::Str(text, attachments) = value else {
            return; // the common parser makes no other
        };
        let packet = Packet {
            text,
            attachments,
            ack,
        };
        if let Err(packet) = self.offer(packet) {
            self.refuse(&socket, packet);
        }
    }
}

impl Waiting {
    /// The next packet; `None` when there will be none.
    pub(super) async fn next(&mut self) -> Option<Packet> {
        let packet = self.packets.recv().await?;
        self.bytes.fetch_sub(packet.bytes(), Ordering::Relaxed);
        Some(packet)
    }

    /// Takes no more; what waits is still given out.
    pub(super) fn close(&mut self) {
        self.packets.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(bytes: usize) -> Packet {
        Packet {
            text: "x".repeat(bytes).into(),
            attachments: None,
            ack: None,
        }
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_number_and_in_bytes() {
        let bounds = Bounds {
            events: 3,
            bytes: 100,
        };
        let (inbox, mut waiting) = inbox(bounds, Arc::default());
        assert!(inbox.offer(packet(60)).is_ok());
        assert!(inbox.offer(packet(60)).is_err(), "bytes");
        assert!(inbox.offer(packet(10)).is_ok());
        assert!(inbox.offer(packet(10)).is_ok());
        assert!(inbox.offer(packet(10)).is_err(), "number");
        assert_eq!(waiting.next().await.unwrap().bytes(), 60);
        assert!(inbox.offer(packet(60)).is_ok());
    }

    #[tokio::test]
    async fn one_packet_larger_than_the_bound_passes_alone() {
        let bounds = Bounds {
            events: 3,
            bytes: 10,
        };
        let (inbox, mut waiting) = inbox(bounds, Arc::default());
        assert!(inbox.offer(packet(50)).is_ok());
        assert!(inbox.offer(packet(1)).is_err());
        waiting.next().await.unwrap();
        assert!(inbox.offer(packet(1)).is_ok());
    }
}
