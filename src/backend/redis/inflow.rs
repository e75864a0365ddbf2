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

/// Bytes that may wait for all followers, which wait for the hub.
const BYTES: usize = 32 << 20;

/// What a push costs besides its text.
const OVERHEAD: usize = 128;

/// What came.
pub(super) enum Push {
    /// Something was published: its channel and what it says.
    Published(String, Vec<u8>),
    /// What came after everything before this was let go.
    Lost,
    /// The connection is over, or this server does not bring this part any more.
    Over,
}

pub(super) struct Inflow {
    bound: Arc<Bound>,
    sender: mpsc::UnboundedSender<Push>,
    queue: mpsc::UnboundedReceiver<Push>,
}

struct Bound {
    /// How many may wait.
    most: usize,
    bytes: AtomicUsize,
    lost: AtomicBool,
}

impl Inflow {
    /// The inflow of one of `lanes`.
    pub(super) fn new(lanes: usize) -> Self {
        let (sender, queue) = mpsc::unbounded_channel();
        let bound = Bound {
            most: BYTES / lanes,
            bytes: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
        };
        Self {
            bound: Arc::new(bound),
            sender,
            queue,
        }
    }

    /// What the connection calls. `own` is the channel that is listened to as long as the connection lasts.
    pub(super) fn sender(&self, own: String) -> impl Fn(PushInfo) -> Result<(), SendError> + use<> {
        let (bound, sender) = (self.bound.clone(), self.sender.clone());
        move |push| match push.kind {
            PushKind::Message | PushKind::SMessage => {
                if bound.lost.load(Ordering::Acquire) {
                    return Ok(());
                }
                let Some((channel, payload)) = published(push.data) else {
                    return Ok(());
                };
                let cost = cost(&channel, &payload);
                if bound.bytes.fetch_add(cost, Ordering::AcqRel) + cost > bound.most {
                    bound.bytes.fetch_sub(cost, Ordering::AcqRel);
                    bound.lost.store(true, Ordering::Release);
                    return sender.send(Push::Lost).map_err(|_| SendError);
                }
                let push = Push::Published(channel, payload);
                sender.send(push).map_err(|_| SendError)
            }
            // The part has moved to another node of the Cluster.
            PushKind::SUnsubscribe if names(&push.data, &own) => {
                sender.send(Push::Over).map_err(|_| SendError)
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

fn names(data: &[Value], channel: &str) -> bool {
    matches!(data.first(), Some(Value::BulkString(name)) if name == channel.as_bytes())
}

fn published(data: Vec<Value>) -> Option<(String, Vec<u8>)> {
    let [Value::BulkString(channel), Value::BulkString(payload)] = <[_; 2]>::try_from(data).ok()?
    else {
        return None;
    };
    Some((String::from_utf8(channel).ok()?, payload))
}
