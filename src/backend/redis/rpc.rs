//! Direct communication between nodes: Pub/Sub messages that are not stored, and RPC over them.

mod cluster_rpc;
mod pubsub;

pub(super) use cluster_rpc::ClusterRpc;
pub(super) use pubsub::RedisPubSub;
