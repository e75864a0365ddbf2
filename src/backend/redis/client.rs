//! The client side of Redis: where each shard is, connections to it, and how replies are read.
//!
//! Nothing here knows rooms or messages.

pub(super) mod connect;
mod connection;
mod connections;
mod push_queue;
pub(super) mod reply;
mod topology;

pub(super) use connection::{OnDisconnect, RedisConnection};
pub(super) use connections::ShardConnections;
pub(super) use push_queue::{Push, PushQueue};
pub(super) use topology::{Topology, by_shard};
