//! Pub/Sub between nodes: messages on channels that are not stored, for the nodes that are subscribed at that moment.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

/// Channels that reach all nodes.
pub trait PubSub: Send + Sync + 'static {
    /// Publishes a message. Never waits: while the nodes cannot reach each other messages are queued up to a limit, and
    /// published once they can; those above the limit are dropped and counted.
    fn publish(&self, channel: String, message: Vec<u8>);

    /// Subscribes to a channel. The future is ready when the subscription is active, or will be once the nodes can reach
    /// each other. A slow receiver delays all channels.
    fn subscribe(&self, channel: String) -> BoxFuture<'static, PubSubMessages>;

    /// Subscribes to several channels: their messages come in the order in which they were published, with the name of the channel
    /// that each came on. Otherwise like [`subscribe`](Self::subscribe).
    fn subscribe_all(&self, channels: Vec<Channel>) -> BoxFuture<'static, PubSubMessages>;

    /// A connection of its own, for channels of other systems: what comes there delays no message between nodes. A payload of more than
    /// `max_payload` bytes is cut one byte behind them, so that it is still seen to be too large.
    fn for_other_systems(&self, max_payload: usize) -> Arc<dyn PubSub>;

    /// Ends the subscription.
    fn unsubscribe(&self, channel: String);

    /// Nodes that can be reached now, this one included.
    fn node_count(&self) -> usize;

    /// The prefix of this deployment's channels: other deployments may share the same Redis.
    fn prefix(&self) -> String;

    /// How many messages were dropped so far, by reason.
    fn dropped(&self) -> Vec<(&'static str, u64)>;
}

/// What to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The channel of this name.
    Named(String),
    /// All channels whose names begin like this.
    Beginning(String),
}

/// A channel's messages, each with the channel's name.
pub type PubSubMessages = mpsc::Receiver<(String, Vec<u8>)>;
