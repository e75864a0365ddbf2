//! Pushes from Redis on their way to the task that reads them: a queue that is bounded in bytes.
//!
//! The connection must not wait. A push that does not fit is dropped, and so is everything behind it until the reader has
//! seen [`Push::Overflowed`] and knows that it has to read the log.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use redis::{PushInfo, PushKind, Value, aio::SendError};
use tokio::sync::mpsc;

/// Bytes that may be queued for all shards of a node.
const MAX_BYTES: usize = 32 << 20;

/// What a push is charged besides its text.
const OVERHEAD: usize = 128;

pub(crate) enum Push {
    /// A message: its channel and payload, and the pattern by which the channel is subscribed to, if it is by one.
    Published(String, Vec<u8>, Option<String>),
    /// The queue was full: pushes behind this were dropped.
    Overflowed,
    /// The connection was lost, or this node of the Cluster no longer owns the channel's slot.
    Closed,
}

pub(crate) struct PushQueue {
    bound: Arc<Bound>,
    sender: mpsc::UnboundedSender<Push>,
    queue: mpsc::UnboundedReceiver<Push>,
}

struct Bound {
    max_bytes: usize,
    bytes: AtomicUsize,
    overflowed: AtomicBool,
}

impl PushQueue {
    /// The queue of one of `shards` shards, which share the bound.
    pub(crate) fn new(shards: usize) -> Self {
        let (sender, queue) = mpsc::unbounded_channel();
        let bound = Bound {
            max_bytes: MAX_BYTES / shards,
            bytes: AtomicUsize::new(0),
            overflowed: AtomicBool::new(false),
        };
        Self {
            bound: Arc::new(bound),
            sender,
            queue,
        }
    }

    /// The callback of the connection. When Redis unsubscribes `own_channel`, the connection counts as closed.
    pub(crate) fn sender(
        &self,
        own_channel: String,
    ) -> impl Fn(PushInfo) -> Result<(), SendError> + use<> {
        let (bound, sender) = (self.bound.clone(), self.sender.clone());
        move |push| match push.kind {
            PushKind::Message | PushKind::SMessage | PushKind::PMessage => {
                if bound.overflowed.load(Ordering::Acquire) {
                    return Ok(());
                }
                let Some((channel, payload, pattern)) = message(push.data) else {
                    return Ok(());
                };
                let cost = cost(&channel, &payload);
                if bound.bytes.fetch_add(cost, Ordering::AcqRel) + cost > bound.max_bytes {
                    bound.bytes.fetch_sub(cost, Ordering::AcqRel);
                    bound.overflowed.store(true, Ordering::Release);
                    return sender.send(Push::Overflowed).map_err(|_| SendError);
                }
                let push = Push::Published(channel, payload, pattern);
                sender.send(push).map_err(|_| SendError)
            }
            // The slot has moved to another node of the Cluster.
            PushKind::SUnsubscribe if names(&push.data, &own_channel) => {
                sender.send(Push::Closed).map_err(|_| SendError)
            }
            PushKind::Disconnection => sender.send(Push::Closed).map_err(|_| SendError),
            _ => Ok(()),
        }
    }

    /// Returns the next push. After [`Push::Overflowed`] pushes are queued again.
    pub(crate) async fn recv(&mut self) -> Option<Push> {
        let push = self.queue.recv().await?;
        match &push {
            Push::Published(channel, payload, _) => {
                let cost = cost(channel, payload);
                self.bound.bytes.fetch_sub(cost, Ordering::AcqRel);
            }
            Push::Overflowed => self.bound.overflowed.store(false, Ordering::Release),
            Push::Closed => {}
        }
        Some(push)
    }
}

fn cost(channel: &str, payload: &[u8]) -> usize {
    channel.len() + payload.len() + OVERHEAD
}

fn names(data: &[Value], channel: &str) -> bool {
    matches!(data.first(), Some(Value::BulkString(name)) if name == channel.as_bytes())
}

/// The channel, payload and pattern of a push. Only the last of three kinds has a pattern, and it comes first.
fn message(mut data: Vec<Value>) -> Option<(String, Vec<u8>, Option<String>)> {
    let pattern = match data.len() {
        3 => Some(text(data.remove(0))?),
        _ => None,
    };
    let [channel, Value::BulkString(payload)] = <[_; 2]>::try_from(data).ok()? else {
        return None;
    };
    Some((text(channel)?, payload, pattern))
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(text) => String::from_utf8(text).ok(),
        _ => None,
    }
}
