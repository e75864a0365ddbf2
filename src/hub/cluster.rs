//! The other nodes of the cluster: requests between their hubs, and events that they report.

pub(super) mod client;
mod remote_events;
pub(super) mod request;
mod session_handover;
mod user_lookup;

pub(super) use client::ClusterClient;
