//! One connection per shard, for everything that does not go through the shard's writer.

use std::sync::Arc;

use super::{
    connection::RedisConnection,
    topology::{Topology, by_shard},
};
use crate::backend::redis::keys::Partition;

pub(crate) struct ShardConnections(Vec<RedisConnection>);

impl ShardConnections {
    pub(crate) fn new(topology: &Arc<Topology>) -> Self {
        let connection = |shard| RedisConnection::new(topology.clone(), shard);
        Self(topology.shards().map(connection).collect())
    }

    /// The connection to the shard that a partition belongs to.
    pub(crate) fn of(&self, partition: Partition) -> &RedisConnection {
        by_shard(&self.0, partition)
    }
}
