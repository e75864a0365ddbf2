//! What applications emit, and what is relayed, on its way to the sockets of other nodes.
//!
//! socketioxide's adapter for Redis does that over a driver, and this one is over the backend's channels: it never waits and
//! never fails, so that the sockets of this node get everything at once whatever becomes of Redis. One type of adapter serves
//! all, also a server without other nodes: then the driver does nothing.

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

/// The adapter of all sockets, which reaches those of other nodes, too.
pub type Adapter = CustomRedisAdapter<Emitter, BetweenNodes>;

/// socketioxide's handle, for whatever an application emits itself.
pub type SocketIo = socketioxide::SocketIo<Adapter>;

/// A socket.
pub type Socket = socketioxide::socket::Socket<Adapter>;

/// A socket, as handlers are given it.
pub type SocketRef = socketioxide::extract::SocketRef<Adapter>;

/// Acknowledgements from other nodes that may wait to be taken.
const ACKS: usize = 16_384;

/// The way to the other nodes; cheap to clone.
// Weak: the adapter listens for as long as there are channels, and would keep them for as long as it listens.
#[derive(Clone)]
pub struct BetweenNodes(Option<Weak<dyn PubSub>>);

impl BetweenNodes {
    /// The way that the backend's channels go, or none.
    pub(crate) fn over(channels: Option<&Arc<dyn PubSub>>) -> Self {
        Self(channels.map(Arc::downgrade))
    }

    /// Whether there can be other nodes.
    pub(super) fn are_possible(&self) -> bool {
        self.0.is_some()
    }

    /// What adapters are made with.
    pub(super) fn adapter(&self) -> RedisAdapterCtr<Self> {
        let prefix = self.channels().map(|channels| channels.prefix());
        let config = RedisAdapterConfig::new()
            .with_prefix(prefix.unwrap_or_default())
            .with_ack_response_buffer(ACKS);
        RedisAdapterCtr::new_with_driver(self.clone(), config)
    }

    fn channels(&self) -> Option<Arc<dyn PubSub>> {
        self.0.as_ref()?.upgrade()
    }
}

impl Driver for BetweenNodes {
    type Error = Infallible;

    async fn publish(&self, channel: String, word: Vec<u8>) -> Result<(), Infallible> {
        if let Some(channels) = self.channels() {
            channels.publish(channel, word);
        }
        Ok(())
    }

    // What the channels let wait is their own bound.
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
