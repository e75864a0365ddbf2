//! Pub/Sub between nodes: messages on channels that are not stored, for the nodes that are subscribed at that moment.

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

    /// Ends the subscription.
    fn unsubscribe(&self, channel: String);

    /// Nodes that can be reached now, this one included.
    fn node_count(&self) -> usize;

    /// The prefix of this deployment's channels: other deployments may share the same Redis.
    fn prefix(&self) -> String;

    /// How many messages were dropped so far, by reason.
    fn dropped(&self) -> Vec<(&'static str, u64)>;
}

/// A channel's messages, each with the channel's name.
pub type PubSubMessages = mpsc::Receiver<(String, Vec<u8>)>;
