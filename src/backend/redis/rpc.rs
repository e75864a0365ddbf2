//! What nodes say to each other directly: Pub/Sub messages that nobody stores, and requests to all other nodes over them.

mod cluster_rpc;
mod pubsub;

pub(super) use cluster_rpc::ClusterRpc;
pub(super) use pubsub::RedisPubSub;
