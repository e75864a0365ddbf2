//! Redis servers, Clusters and nodes for tests.

mod cluster;
mod followed_log;
mod node;
mod port;
mod server;

pub(in crate::backend) use cluster::Cluster;
pub(super) use cluster::{names, rooms};
pub(in crate::backend) use followed_log::following;
pub(super) use node::{TestNode, ephemeral, offsets};
pub(super) use port::ClaimedPort;
pub(in crate::backend) use server::Server;

/// How long anything may take in a test.
pub(super) const TEST_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
