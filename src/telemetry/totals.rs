//! What a node has counted since it was started, for a summary of it.

use serde::{Deserialize, Serialize};

use super::{PREFIX, exposition::Exposition};

/// The counters of a node since its start, over all labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Messages stored that were sent through it.
    pub messages: u64,
    /// Messages deduplicated by their id.
    pub duplicates: u64,
    /// Ephemeral events sent through it.
    pub ephemeral_events: u64,
    /// Events of rooms delivered to its connections.
    pub deliveries: u64,
    /// Sessions resumed.
    pub recoveries: u64,
    /// Sessions that clients asked to resume and that were not.
    pub recoveries_refused: u64,
    /// Errors sent to clients.
    pub errors: u64,
    /// Times that a limit was reached.
    pub limited: u64,
    /// Ephemeral events dropped for connections that were behind.
    pub dropped: u64,
    /// Connections closed by the server.
    pub connections_closed: u64,
}

impl Totals {
    pub(super) fn of(metrics: &Exposition) -> Self {
        let total = |name: &str| {
            let sum = metrics.sum(&format!("{PREFIX}_{name}_total"));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a counter is a whole number far below 2^53"
            )]
            let count = sum.unwrap_or(0.0) as u64;
            count
        };
        Self {
            messages: total("messages"),
            duplicates: total("duplicates"),
            ephemeral_events: total("ephemeral_events"),
            deliveries: total("deliveries"),
            recoveries: total("recoveries"),
            recoveries_refused: total("recoveries_refused"),
            errors: total("errors"),
            limited: total("limited"),
            dropped: total("dropped"),
            connections_closed: total("connections_closed"),
        }
    }
}
