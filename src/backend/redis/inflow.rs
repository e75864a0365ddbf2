//! What Redis says unasked, on its way from the connection to the follower: bounded in bytes.
//!
//! The connection must not wait, so what does not fit is let go, and from there on everything, until the follower knows:
//! it reads what it lost from the log.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use redis::{PushInfo, PushKind, Value, aio::SendError};
use tokio::sync::mpsc;

/// Bytes that may wait for the follower, which waits for the hub.
const BYTES: usize = 32 << 20;

/// What a push costs besides its text.
const OVERHEAD: usize = 128;

/// What came.
pub(super) enum Push {
    /// Something was published: its channel and what it says.
    Published(String, Vec<u8>),
    /// What came after everything before this was let go.
    Lost,
    /// The connection is over.
    Over,
}

pub(super) struct Inflow {
    bound: Arc<Bound>,
    sender: mpsc::UnboundedSender<Push>,
    queue: mpsc::UnboundedReceiver<Push>,
}

#[derive(Default)]
struct Bound {
    bytes: AtomicUsize,
    lost: AtomicBool,
}

impl Inflow {
    pub(super) fn new() -> Self {
        let (sender, queue) = mpsc::unbounded_channel();
        Self {
            bound: Arc::default(),
            sender,
            queue,
        }
    }

    /// What the connection calls.
    pub(super) fn sender(&self) -> impl Fn(PushInfo) -> Result<(), SendError> + use<> {
        let (bound, sender) = (self.bound.clone(), self.sender.clone());
        move |push| match push.kind {
            PushKind::Message => {
                if bound.lost.load(Ordering::Acquire) {
                    return Ok(());
                }
                let Some((channel, payload)) = published(push.data) else {
                    return Ok(());
                };
                let cost = cost(&channel, &payload);
                if bound.bytes.fetch_add(cost, Ordering::AcqRel) + cost > BYTES {
                    bound.bytes.fetch_sub(cost, Ordering::AcqRel);
                    bound.lost.store(true, Ordering::Release);
                    return sender.send(Push::Lost).map_err(|_| SendError);
                }
                let push = Push::Published(channel, payload);
                sender.send(push).map_err(|_| SendError)
            }
            PushKind::Disconnection => sender.send(Push::Over).map_err(|_| SendError),
            _ => Ok(()),
        }
    }

    /// What came next. After [`Push::Lost`], whatever is not yet in the log will come.
    pub(super) async fn recv(&mut self) -> Option<Push> {
        let push = self.queue.recv().await?;
        match &push {
            Push::Published(channel, payload) => {
                let cost = cost(channel, payload);
                self.bound.bytes.fetch_sub(cost, Ordering::AcqRel);
            }
            Push::Lost => self.bound.lost.store(false, Ordering::Release),
            Push::Over => {}
        }
        Some(push)
    }
}

fn cost(channel: &str, payload: &[u8]) -> usize {
    channel.len() + payload.len() + OVERHEAD
}

fn published(data: Vec<Value>) -> Option<(String, Vec<u8>)> {
    let [Value::BulkString(channel), Value::BulkString(payload)] = <[_; 2]>::try_from(data).ok()?
    else {
        return None;
    };
    Some((String::from_utf8(channel).ok()?, payload))
}
