//! Pub/Sub between nodes, over a connection of its own: plain channels, which a Cluster forwards to all of its nodes, so that
//! any of them will do.
//!
//! Redis stores nothing of this: a node that is disconnected misses what is published. What this node publishes while it is
//! disconnected is queued, and published once the other nodes have had time to subscribe again. What was in flight when a
//! connection was lost may have arrived or not; it is not published again, because nobody could tell.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::backend::{
    PubSub, PubSubMessages,
    redis::{context::NodeContext, dropped::DropReason},
};

mod task;

use task::PubSubTask;

/// Bytes that may be queued to be published.
const MAX_QUEUED_BYTES: usize = 16 << 20;

/// What a message is charged besides its channel and payload.
const OVERHEAD: usize = 128;

/// How many messages of a channel may be queued for a subscriber.
const SUBSCRIBER_QUEUE: usize = 1024;

enum PubSubCommand {
    Publish(OutgoingMessage),
    Subscribe(String, mpsc::Sender<(String, Vec<u8>)>, oneshot::Sender<()>),
    Unsubscribe(String),
    /// Publish what is queued, and end.
    Close,
}

struct OutgoingMessage {
    channel: String,
    payload: Vec<u8>,
}

impl OutgoingMessage {
    fn cost(&self) -> usize {
        self.channel.len() + self.payload.len() + OVERHEAD
    }
}

/// The handle. The task ends when the last one is dropped.
pub(crate) struct RedisPubSub {
    context: Arc<NodeContext>,
    commands: mpsc::UnboundedSender<PubSubCommand>,
    state: Arc<PubSubState>,
}

#[derive(Default)]
struct PubSubState {
    connected: AtomicBool,
    /// How many connections there were.
    connections: AtomicU64,
    /// Bytes that are queued to be published.
    queued_bytes: AtomicUsize,
}

impl RedisPubSub {
    pub(crate) fn open(context: Arc<NodeContext>) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let state = Arc::<PubSubState>::default();
        let task = PubSubTask::new(context.clone(), receiver, state.clone());
        tokio::spawn(task.run());
        Self {
            context,
            commands,
            state,
        }
    }

    /// Publishes what is queued, if Redis is reachable, and ends all subscriptions.
    pub(crate) fn close(&self) {
        let _ = self.commands.send(PubSubCommand::Close);
    }

    /// The number of the current connection, counted from the first; `None` while disconnected.
    pub(crate) fn connection_number(&self) -> Option<u64> {
        let connected = self.state.connected.load(Ordering::Acquire);
        connected.then(|| self.state.connections.load(Ordering::Acquire))
    }
}

impl PubSub for RedisPubSub {
    fn publish(&self, channel: String, payload: Vec<u8>) {
        let message = OutgoingMessage { channel, payload };
        let cost = message.cost();
        let queued = self.state.queued_bytes.fetch_add(cost, Ordering::AcqRel);
        if queued + cost > MAX_QUEUED_BYTES {
            self.state.queued_bytes.fetch_sub(cost, Ordering::AcqRel);
            return self.context.dropped.add(1, DropReason::Full);
        }
        // Fails only after the task has been closed.
        let _ = self.commands.send(PubSubCommand::Publish(message));
    }

    fn subscribe(&self, channel: String) -> BoxFuture<'static, PubSubMessages> {
        let (sender, messages) = mpsc::channel(SUBSCRIBER_QUEUE);
        let (done, subscribed) = oneshot::channel();
        let subscribe = PubSubCommand::Subscribe(channel, sender, done);
        let _ = self.commands.send(subscribe);
        Box::pin(async move {
            let _ = subscribed.await;
            messages
        })
    }

    fn unsubscribe(&self, channel: String) {
        let _ = self.commands.send(PubSubCommand::Unsubscribe(channel));
    }

    fn node_count(&self) -> usize {
        match self.connection_number() {
            Some(_) => 1 + self.context.peers.count(),
            None => 1,
        }
    }

    fn prefix(&self) -> String {
        self.context.keys.prefix().to_owned()
    }

    fn dropped(&self) -> Vec<(&'static str, u64)> {
        self.context.dropped.counts()
    }
}
