//! The metrics of the endpoints of hooks: of those that answer, and of those that are told.

use std::{collections::BTreeMap, fmt, time::Duration};

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::{
    Gauge, Metrics,
    labels::{ByEndpoint, ByOutcome},
};

/// The outcomes of a call that has a reply.
const ANSWERED: &str = "answered";
const DENIED: &str = "denied";

/// The metrics of one endpoint. They are looked up once: a family is locked, and a label copied, for each look.
pub struct EndpointMetrics {
    outcomes: BTreeMap<&'static str, Counter>,
    seconds: Histogram,
    in_flight: Gauge,
    waiting: Gauge,
    open: Gauge,
    opened: Counter,
}

/// Counts a call as under way until dropped.
pub struct InFlightCall(Gauge);

impl Drop for InFlightCall {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// The metrics of an endpoint, at zero; `failures` are the kinds of its failures.
    pub fn hook_endpoint(&self, endpoint: &str, failures: &[&'static str]) -> EndpointMetrics {
        let by = ByEndpoint {
            endpoint: endpoint.to_owned(),
        };
        let outcomes = [ANSWERED, DENIED].iter().chain(failures).map(|outcome| {
            let by = ByOutcome {
                endpoint: endpoint.to_owned(),
                outcome,
            };
            (*outcome, self.hook_calls.get_or_create(&by).clone())
        });
        EndpointMetrics {
            outcomes: outcomes.collect(),
            seconds: self.hook_call_seconds.get_or_create(&by).clone(),
            in_flight: self.hook_calls_in_flight.get_or_create(&by).clone(),
            waiting: self.hook_calls_waiting.get_or_create(&by).clone(),
            open: self.hook_breaker_open.get_or_create(&by).clone(),
            opened: self.hook_breaker_opened.get_or_create(&by).clone(),
        }
    }
}

impl EndpointMetrics {
    /// Counts a call that is answered.
    pub fn answered(&self) {
        self.count(ANSWERED);
    }

    /// Counts a call whose reply refuses.
    pub fn denied(&self) {
        self.count(DENIED);
    }

    /// Counts a call without a reply, by why.
    pub fn failed(&self, kind: &'static str) {
        self.count(kind);
    }

    fn count(&self, outcome: &'static str) {
        if let Some(counter) = self.outcomes.get(outcome) {
            counter.inc();
        }
    }

    /// Observes how long a call took.
    pub fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    /// Counts a call as under way until the returned value is dropped.
    pub fn begin(&self) -> InFlightCall {
        self.in_flight.inc();
        InFlightCall(self.in_flight.clone())
    }

    /// Counts that the endpoint is not asked any more for a while.
    pub fn opened(&self) {
        self.opened.inc();
    }

    /// Sets whether the endpoint is not asked now, and how many calls wait.
    pub fn set(&self, is_open: bool, waiting: usize) {
        self.open.set(is_open.into());
        self.waiting.set(waiting.try_into().unwrap_or(i64::MAX));
    }
}

impl fmt::Debug for EndpointMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointMetrics")
    }
}

/// The metrics of one endpoint that is told.
pub struct NotifyMetrics {
    delivered_events: Counter,
    lost_events: Counter,
    outcomes: BTreeMap<&'static str, Counter>,
    seconds: Histogram,
    behind: Gauge,
    behind_seconds: Gauge,
    stopped: Gauge,
}

/// The outcome of a batch that was taken.
const DELIVERED: &str = "delivered";

impl Metrics {
    /// The metrics of an endpoint that is told, at zero; `failures` are the kinds of its failures.
    pub fn notify_endpoint(&self, endpoint: &str, failures: &[&'static str]) -> NotifyMetrics {
        let by = ByEndpoint {
            endpoint: endpoint.to_owned(),
        };
        let by_outcome = |outcome| ByOutcome {
            endpoint: endpoint.to_owned(),
            outcome,
        };
        let events = |outcome| {
            let counter = self.hook_notifications.get_or_create(&by_outcome(outcome));
            counter.clone()
        };
        let outcomes = std::iter::once(&DELIVERED).chain(failures).map(|outcome| {
            let counter = self.hook_batches.get_or_create(&by_outcome(outcome));
            (*outcome, counter.clone())
        });
        NotifyMetrics {
            outcomes: outcomes.collect(),
            delivered_events: events(DELIVERED),
            lost_events: events("lost"),
            seconds: self.hook_batch_seconds.get_or_create(&by).clone(),
            behind: self.hook_behind.get_or_create(&by).clone(),
            behind_seconds: self.hook_behind_seconds.get_or_create(&by).clone(),
            stopped: self.hook_stopped.get_or_create(&by).clone(),
        }
    }
}

impl NotifyMetrics {
    /// Counts a batch that was taken.
    pub fn delivered(&self, events: u64) {
        self.delivered_events.inc_by(events);
        self.count(DELIVERED);
    }

    /// Counts events that are lost.
    pub fn lost(&self, events: u64) {
        self.lost_events.inc_by(events);
    }

    /// Counts an attempt that has failed, by why.
    pub fn failed(&self, kind: &'static str) {
        self.count(kind);
    }

    fn count(&self, outcome: &'static str) {
        if let Some(counter) = self.outcomes.get(outcome) {
            counter.inc();
        }
    }

    /// Observes how long an attempt took.
    pub fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    /// Sets how many events the endpoint is behind, and the age of the first of them.
    pub fn set_behind(&self, events: u64, age: Duration) {
        self.behind.set(events.try_into().unwrap_or(i64::MAX));
        self.behind_seconds
            .set(age.as_secs().try_into().unwrap_or(i64::MAX));
    }

    /// Sets whether it is told nothing any more.
    pub fn set_stopped(&self, is_stopped: bool) {
        self.stopped.set(is_stopped.into());
    }
}

impl fmt::Debug for NotifyMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NotifyMetrics")
    }
}
