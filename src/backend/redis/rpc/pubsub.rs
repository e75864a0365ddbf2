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
    Channel, PubSub, PubSubMessages,
    redis::{context::NodeContext, dropped::DropReason},
};

mod task;
mod topic;

use task::PubSubTask;
use topic::Topic;

/// Bytes that may be queued to be published.
const MAX_QUEUED_BYTES: usize = 16 << 20;

/// What a message is charged besides its channel and payload.
const OVERHEAD: usize = 128;

/// How many messages of a channel may be queued for a subscriber.
const SUBSCRIBER_QUEUE: usize = 1024;

/// How many messages of other systems may be queued; what comes meanwhile waits in the connection's queue, which is bounded in bytes.
const OTHER_SYSTEMS_QUEUE: usize = 8;

enum PubSubCommand {
    Publish(OutgoingMessage),
    Subscribe(
        Vec<Topic>,
        mpsc::Sender<(String, Vec<u8>)>,
        oneshot::Sender<()>,
    ),
    Unsubscribe(Topic),
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
    /// How many messages may be queued for a subscriber.
    queue: usize,
}

/// What a connection is for.
#[derive(Clone, Copy)]
enum Purpose {
    BetweenNodes,
    /// Messages of other systems, of whose payloads so many bytes are of interest.
    OtherSystems {
        max_payload: usize,
    },
}

impl Purpose {
    /// How logs call it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::BetweenNodes => "nodes",
            Self::OtherSystems { .. } => "emitters of other systems",
        }
    }
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
    /// A connection for messages between nodes.
    pub(crate) fn open(context: Arc<NodeContext>) -> Self {
        Self::open_for(Purpose::BetweenNodes, context)
    }

    fn open_for(purpose: Purpose, context: Arc<NodeContext>) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let state = Arc::<PubSubState>::default();
        let task = PubSubTask::new(purpose, context.clone(), receiver, state.clone());
        tokio::spawn(task.run());
        Self {
            context,
            commands,
            state,
            queue: match purpose {
                Purpose::BetweenNodes => SUBSCRIBER_QUEUE,
                Purpose::OtherSystems { .. } => OTHER_SYSTEMS_QUEUE,
            },
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
        self.subscribe_all(vec![Channel::Named(channel)])
    }

    fn subscribe_all(&self, channels: Vec<Channel>) -> BoxFuture<'static, PubSubMessages> {
        let (sender, messages) = mpsc::channel(self.queue);
        let (done, subscribed) = oneshot::channel();
        let topics = channels.iter().map(Topic::of).collect();
        let subscribe = PubSubCommand::Subscribe(topics, sender, done);
        let _ = self.commands.send(subscribe);
        Box::pin(async move {
            let _ = subscribed.await;
            messages
        })
    }

    fn for_other_systems(&self, max_payload: usize) -> Arc<dyn PubSub> {
        let purpose = Purpose::OtherSystems { max_payload };
        Arc::new(Self::open_for(purpose, self.context.clone()))
    }

    fn unsubscribe(&self, channel: String) {
        let topic = Topic::of(&Channel::Named(channel));
        let _ = self.commands.send(PubSubCommand::Unsubscribe(topic));
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
