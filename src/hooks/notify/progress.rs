//! How far an endpoint was told, as it is stored.

use serde::{Deserialize, Serialize};

use crate::{backend::EndpointRecord, model::Timestamp};

/// How far an endpoint was told, and how it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointProgress {
    /// One for each stream of the outbox.
    pub(super) streams: Vec<StreamProgress>,
    /// It has answered with 410, and nothing is sent to it until it is resumed.
    #[serde(default)]
    pub(super) stopped: bool,
    /// Since when every attempt has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failing_since: Option<Timestamp>,
    /// How many events it has taken.
    #[serde(default)]
    pub(super) delivered: u64,
    /// How many events it has lost, at most.
    #[serde(default)]
    pub(super) lost: u64,
}

/// How far an endpoint was told of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamProgress {
    /// The number of the last event that it has taken, does not want, or has lost.
    pub(super) at: u64,
    /// What it has lost and not been told of yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<LostEvents>,
}

/// A run of events that an endpoint has lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LostEvents {
    pub(super) first: u64,
    pub(super) last: u64,
    /// How many of them it would have been told, at most; 0: nobody knows.
    pub(super) events: u64,
    /// When the loss was found.
    pub(super) ts: Timestamp,
}

impl EndpointProgress {
    /// An endpoint that is told of what happens after these numbers, one for each stream.
    pub(super) fn begin(ends: Vec<u64>) -> Self {
        let streams = ends.into_iter().map(|at| StreamProgress { at, lost: None });
        Self {
            streams: streams.collect(),
            ..Self::default()
        }
    }

    /// Reads what is stored; `None` if nothing is, or it is not of an outbox with so many streams.
    pub(super) fn read(record: &EndpointRecord, streams: usize) -> Option<Self> {
        let progress: Self = serde_json::from_str(record.state.as_deref()?).ok()?;
        (progress.streams.len() == streams).then_some(progress)
    }

    /// As it is stored.
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl StreamProgress {
    /// The last event that is lost and was not told of, and how many are.
    pub(super) fn lost_until(&self) -> (u64, u64) {
        let lost = self.lost.as_ref();
        lost.map_or((0, 0), |lost| (lost.last, lost.events))
    }

    /// Records that events are lost, and continues behind them.
    pub(super) fn lose(&mut self, (first, last): (u64, u64), events: u64, now: Timestamp) {
        self.at = last;
        match &mut self.lost {
            Some(lost) => {
                lost.first = lost.first.min(last);
                lost.last = last;
                lost.events = lost.events.saturating_add(events);
            }
            None => {
                self.lost = Some(LostEvents {
                    first,
                    last,
                    events,
                    ts: now,
                });
            }
        }
    }
}
