//! The other nodes of the cluster: requests between their hubs, and events that they report.

mod remote_events;
pub(super) mod rpc;
