//! The last hour of a node: a sample of its metrics every few seconds, for whoever draws them.
//!
//! A sample is computed from two expositions, as Prometheus would: gauges as they are, rates and quantiles over the interval
//! between them. Pure: it is given the exposition and the time.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::exposition::Exposition;

/// How often a sample is taken.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// Samples that are kept: an hour.
const MAX_SAMPLES: usize = 720;

/// How a series is read from the metrics.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// The value itself.
    Gauge(&'static str),
    /// The increase per second, over all labels.
    PerSecond(&'static str),
    /// A quantile of a histogram within the interval, in milliseconds.
    QuantileMs(&'static str, f64),
}

use Reading::{Gauge, PerSecond, QuantileMs};

/// Every series but those of single limits. The names are documented in `docs/rest.md`.
const SERIES: [(&str, Reading); 28] = [
    ("connections", Gauge("switchboard_connections")),
    ("connections_socketio", Gauge("switchboard_sessions")),
    ("connections_websocket", Gauge("switchboard_websockets")),
    ("connections_events", Gauge("switchboard_event_streams")),
    ("polls_waiting", Gauge("switchboard_polls_waiting")),
    ("rooms", Gauge("switchboard_rooms")),
    ("members", Gauge("switchboard_members")),
    (
        "messages_per_second",
        PerSecond("switchboard_messages_total"),
    ),
    (
        "ephemeral_per_second",
        PerSecond("switchboard_ephemeral_events_total"),
    ),
    (
        "deliveries_per_second",
        PerSecond("switchboard_deliveries_total"),
    ),
    (
        "duplicates_per_second",
        PerSecond("switchboard_duplicates_total"),
    ),
    (
        "recoveries_per_second",
        PerSecond("switchboard_recoveries_total"),
    ),
    (
        "recoveries_refused_per_second",
        PerSecond("switchboard_recoveries_refused_total"),
    ),
    (
        "replayed_per_second",
        PerSecond("switchboard_messages_replayed_total"),
    ),
    ("errors_per_second", PerSecond("switchboard_errors_total")),
    ("limited_per_second", PerSecond("switchboard_limited_total")),
    ("dropped_per_second", PerSecond("switchboard_dropped_total")),
    (
        "closed_per_second",
        PerSecond("switchboard_connections_closed_total"),
    ),
    (
        "store_p50_ms",
        QuantileMs("switchboard_append_seconds_bucket", 0.5),
    ),
    (
        "store_p99_ms",
        QuantileMs("switchboard_append_seconds_bucket", 0.99),
    ),
    ("send_queue_bytes", Gauge("switchboard_send_queue_bytes")),
    ("catching_up", Gauge("switchboard_connections_catching_up")),
    ("memory_bytes", Gauge("process_resident_memory_bytes")),
    ("memory_held_bytes", Gauge("switchboard_memory_held_bytes")),
    ("memory_size_bytes", Gauge("switchboard_memory_size_bytes")),
    ("cpu", PerSecond("process_cpu_seconds_total")),
    ("open_files", Gauge("process_open_fds")),
    ("nodes", Gauge("switchboard_nodes")),
];

/// The counter with a series for each of its labels, and the prefix of their names.
const LIMITED: &str = "switchboard_limited_total";
const LIMITED_PREFIX: &str = "limited.";

/// The values of all series at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When it was taken, in milliseconds since the Unix epoch.
    pub ts: u64,
    values: [Option<f64>; SERIES.len()],
    /// Refusals per second by limit; those without any are left out.
    limited: Vec<(String, f64)>,
}

impl Sample {
    /// The value of a series; `None` if it is unknown.
    pub fn value(&self, series: &str) -> Option<f64> {
        if let Some(limit) = series.strip_prefix(LIMITED_PREFIX) {
            return Some(self.limited(limit));
        }
        let nth = SERIES.iter().position(|(name, _)| *name == series)?;
        self.values[nth]
    }

    fn limited(&self, limit: &str) -> f64 {
        let mut limited = self.limited.iter();
        limited
            .find(|(name, _)| name == limit)
            .map_or(0.0, |(_, rate)| *rate)
    }
}

impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sample = serializer.serialize_map(None)?;
        sample.serialize_entry("ts", &self.ts)?;
        for ((name, _), value) in SERIES.iter().zip(&self.values) {
            sample.serialize_entry(name, &Written(*value))?;
        }
        for (limit, rate) in &self.limited {
            sample.serialize_entry(&format!("{LIMITED_PREFIX}{limit}"), &Written(Some(*rate)))?;
        }
        sample.end()
    }
}

/// The samples of the last hour.
#[derive(Debug, Default)]
pub struct History {
    previous: Option<(Instant, Exposition)>,
    samples: VecDeque<Sample>,
}

impl History {
    /// Adds a sample of the metrics as `/metrics` shows them, taken `now`; `ts` is the time of day. The first one has no rates.
    pub(super) fn add(&mut self, metrics: &str, now: Instant, ts: u64) {
        let current = Exposition::parse(metrics);
        let interval = Interval {
            previous: self.previous.as_ref().map(|(_, previous)| previous),
            current: &current,
            seconds: self
                .previous
                .as_ref()
                .map_or(0.0, |(then, _)| now.duration_since(*then).as_secs_f64()),
        };
        let sample = Sample {
            ts,
            values: SERIES.map(|(_, reading)| interval.read(reading).map(rounded)),
            limited: interval.limited(),
        };
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.previous = Some((now, current));
    }

    /// The newest sample.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// The first sample after a time.
    pub fn next_after(&self, ts: u64) -> Option<Sample> {
        self.samples.iter().find(|sample| sample.ts > ts).cloned()
    }

    /// The samples after a time, as columns.
    pub fn columns(&self, since: u64) -> Columns {
        let samples = self.samples.iter().filter(|sample| sample.ts > since);
        Columns(samples.cloned().collect())
    }
}

/// Samples that are serialized as one array a series.
#[derive(Clone, Debug)]
pub struct Columns(Vec<Sample>);

impl Columns {
    /// When the newest of the samples was taken.
    pub fn newest(&self) -> Option<u64> {
        self.0.last().map(|sample| sample.ts)
    }
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut columns = serializer.serialize_map(None)?;
        let times: Vec<_> = self.0.iter().map(|sample| sample.ts).collect();
        columns.serialize_entry("ts", &times)?;
        for (nth, (name, _)) in SERIES.iter().enumerate() {
            let values = self.0.iter().map(|sample| Written(sample.values[nth]));
            let column: Vec<_> = values.collect();
            columns.serialize_entry(name, &column)?;
        }
        let mut limits: Vec<_> = self.0.iter().flat_map(|sample| &sample.limited).collect();
        limits.sort_by(|(a, _), (b, _)| a.cmp(b));
        limits.dedup_by(|(a, _), (b, _)| a == b);
        for (limit, _) in limits {
            let values = self
                .0
                .iter()
                .map(|sample| Written(Some(sample.limited(limit))));
            let column: Vec<_> = values.collect();
            columns.serialize_entry(&format!("{LIMITED_PREFIX}{limit}"), &column)?;
        }
        columns.end()
    }
}

/// Two expositions, and the time between them.
struct Interval<'a> {
    previous: Option<&'a Exposition>,
    current: &'a Exposition,
    seconds: f64,
}

impl Interval<'_> {
    fn read(&self, reading: Reading) -> Option<f64> {
        match reading {
            Gauge(name) => self.current.sum(name),
            PerSecond(name) => {
                let previous = self.previous?;
                self.per_second(counter(self.current, name)?, counter(previous, name)?)
            }
            QuantileMs(name, quantile) => self.quantile(name, quantile).map(|s| s * 1000.0),
        }
    }

    fn per_second(&self, after: f64, before: f64) -> Option<f64> {
        (self.seconds > 0.0).then(|| (after - before).max(0.0) / self.seconds)
    }

    fn limited(&self) -> Vec<(String, f64)> {
        let Some(previous) = self.previous else {
            return Vec::new();
        };
        let before = |limit: &str| {
            let mut limits = previous.by_label(LIMITED);
            limits
                .find(|(name, _)| *name == limit)
                .map_or(0.0, |(_, count)| count)
        };
        let limits = self.current.by_label(LIMITED);
        let rates = limits.filter_map(|(limit, count)| {
            let rate = self.per_second(count, before(limit))?;
            (rate > 0.0).then(|| (limit.to_owned(), rounded(rate)))
        });
        rates.collect()
    }

    /// A quantile of what was observed within the interval, interpolated within its bucket as Prometheus' `histogram_quantile`
    /// does. `None` if nothing was observed.
    fn quantile(&self, name: &str, quantile: f64) -> Option<f64> {
        let before = self.previous?.buckets(name);
        let buckets: Vec<_> = self
            .current
            .buckets(name)
            .into_iter()
            .zip(before)
            .map(|((bound, after), (_, before))| (bound, after - before))
            .collect();
        let total = buckets.last()?.1;
        if total <= 0.0 {
            return None;
        }
        let rank = quantile * total;
        let nth = buckets.iter().position(|(_, count)| *count >= rank)?;
        let (lower, below) = match nth.checked_sub(1) {
            Some(previous) => buckets[previous],
            None => (0.0, 0.0),
        };
        let (upper, count) = buckets[nth];
        if upper.is_infinite() {
            return Some(lower);
        }
        Some(lower + (upper - lower) * (rank - below) / (count - below))
    }
}

/// A counter over all its labels. One of the server's own that has no label yet has counted nothing; one of the process is unknown.
fn counter(metrics: &Exposition, name: &str) -> Option<f64> {
    let is_own = name.starts_with(super::PREFIX);
    metrics.sum(name).or(is_own.then_some(0.0))
}

/// Three decimals: nobody draws more, and the text is shorter.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// A value as it is written: without a fraction where it has none.
struct Written(Option<f64>);

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Whole numbers up to this are exact.
        const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
        match self.0 {
            None => serializer.serialize_none(),
            #[expect(clippy::cast_possible_truncation, reason = "a whole number within i64")]
            Some(value) if value.fract() == 0.0 && value.abs() <= MAX_EXACT => {
                serializer.serialize_i64(value as i64)
            }
            Some(value) => serializer.serialize_f64(value),
        }
    }
}

#[cfg(test)]
mod tests;
