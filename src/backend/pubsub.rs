//! Words between nodes that nobody keeps: published on a channel, heard by the nodes that listen to it at that moment.

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

/// Channels over all nodes.
pub trait PubSub: Send + Sync + 'static {
    /// Publishes a word. Never waits: while the nodes cannot reach each other words are kept, as many as there is room for,
    /// and published once they can; the others are counted as dropped.
    fn publish(&self, channel: String, word: Vec<u8>);

    /// Listens to a channel. What it answers is ready when the channel is listened to, or will be once the nodes can reach
    /// each other; whoever takes the words too slowly holds up all channels.
    fn subscribe(&self, channel: String) -> BoxFuture<'static, PubSubMessages>;

    /// Ends that.
    fn unsubscribe(&self, channel: String);

    /// Nodes that can be reached now, this one included.
    fn node_count(&self) -> usize;

    /// What the names of channels begin with that are this deployment's own: others may be listened to over the same Redis.
    fn prefix(&self) -> String;

    /// Words that were dropped, so far, by reason.
    fn dropped(&self) -> Vec<(&'static str, u64)>;
}

/// A channel's words, each with the channel's name.
pub type PubSubMessages = mpsc::Receiver<(String, Vec<u8>)>;
