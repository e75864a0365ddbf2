//! How an endpoint that is told is, for operators.

use serde::Serialize;

use super::progress::EndpointProgress;
use crate::{hooks::endpoint::LastFailure, model::Timestamp};

/// How an endpoint that is told is.
#[derive(Debug, Serialize)]
pub(crate) struct NotifyEndpointStatus {
    pub(crate) url: String,
    pub(crate) events: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rooms: Option<String>,
    pub(crate) timeout_ms: u64,
    pub(crate) signed: bool,
    /// `ok`, `failing`, or `stopped` after a response with status 410.
    pub(crate) state: &'static str,
    /// The node that sends to it, by its id among the nodes of the store; absent with a single node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sender: Option<String>,
    /// Events that it was not told of yet, at most.
    pub(crate) behind: u64,
    /// How long ago the first of them happened.
    pub(crate) behind_ms: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failing_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_attempt_in_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_failure: Option<LastFailure>,
}

/// How far behind an endpoint is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) events: u64,
    pub(super) ms: u64,
}

impl EndpointProgress {
    /// The word for it.
    pub(super) fn state(&self) -> &'static str {
        match (self.stopped, self.failing_since) {
            (true, _) => "stopped",
            (false, Some(_)) => "failing",
            (false, None) => "ok",
        }
    }
}
