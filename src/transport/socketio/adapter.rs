//! The socketioxide adapter: sends what applications emit by `io` to the sockets of other nodes.
//!
//! socketioxide's Redis adapter needs a driver. This one uses the backend's pub/sub channels: it never blocks and never fails,
//! so that the sockets of this node get everything at once whatever happens to Redis. A server without other nodes uses the
//! same adapter type; then the driver does nothing.

use std::{
    convert::Infallible,
    sync::{Arc, Weak},
};

use socketioxide::adapter::Emitter;
use socketioxide_redis::{
    CustomRedisAdapter, RedisAdapterConfig, RedisAdapterCtr,
    drivers::{ChanItem, Driver, MessageStream},
};

use crate::backend::PubSub;

/// The adapter of all sockets, on this node and others.
pub type Adapter = CustomRedisAdapter<Emitter, PubSubDriver>;

/// socketioxide's handle, for what an application emits itself.
pub type SocketIo = socketioxide::SocketIo<Adapter>;

/// A socket.
pub type Socket = socketioxide::socket::Socket<Adapter>;

/// A socket, as handlers get it.
pub type SocketRef = socketioxide::extract::SocketRef<Adapter>;

/// Acknowledgements from other nodes that may be buffered.
const ACK_BUFFER: usize = 16_384;

/// The adapter's driver over the backend's pub/sub channels; cheap to clone.
// Weak: the adapter is subscribed as long as there are channels, and would keep them as long as it is subscribed.
#[derive(Clone)]
pub struct PubSubDriver(Option<Weak<dyn PubSub>>);

impl PubSubDriver {
    /// A driver over the backend's channels, or one that does nothing.
    pub(crate) fn new(channels: Option<&Arc<dyn PubSub>>) -> Self {
        Self(channels.map(Arc::downgrade))
    }

    /// Whether there can be other nodes.
    pub(super) fn has_other_nodes(&self) -> bool {
        self.0.is_some()
    }

    /// The constructor of adapters.
    pub(super) fn adapter(&self) -> RedisAdapterCtr<Self> {
        let prefix = self.channels().map(|channels| channels.prefix());
        let config = RedisAdapterConfig::new()
            .with_prefix(prefix.unwrap_or_default())
            .with_ack_response_buffer(ACK_BUFFER);
        RedisAdapterCtr::new_with_driver(self.clone(), config)
    }

    fn channels(&self) -> Option<Arc<dyn PubSub>> {
        self.0.as_ref()?.upgrade()
    }
}

impl Driver for PubSubDriver {
    type Error = Infallible;

    async fn publish(&self, channel: String, message: Vec<u8>) -> Result<(), Infallible> {
        if let Some(channels) = self.channels() {
            channels.publish(channel, message);
        }
        Ok(())
    }

    // The channels have their own bound.
    async fn subscribe(
        &self,
        channel: String,
        _: usize,
    ) -> Result<MessageStream<ChanItem>, Infallible> {
        Ok(match self.channels() {
            Some(channels) => MessageStream::new(channels.subscribe(channel).await),
            None => MessageStream::new_empty(),
        })
    }

    async fn unsubscribe(&self, channel: String) -> Result<(), Infallible> {
        if let Some(channels) = self.channels() {
            channels.unsubscribe(channel);
        }
        Ok(())
    }

    async fn num_serv(&self, _: &str) -> Result<u16, Infallible> {
        let nodes = self.channels().map_or(1, |channels| channels.node_count());
        Ok(u16::try_from(nodes).unwrap_or(u16::MAX))
    }
}
