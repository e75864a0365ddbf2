//! What a load has found out: for programs as JSON, for people as a table.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{
    counters::Totals,
    plan::{Pace, Plan, Protocol},
    recorder::Recorder,
    refusals::Refusal,
    server_process::Usage,
    verdict::Lost,
};

mod table;

/// The report. Times are of what was measured, counts of everything, from the first message to the last.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Nothing was lost, repeated or disordered, everybody joined, and if anybody sent, something arrived.
    pub(crate) ok: bool,
    /// It was ended early.
    pub(crate) stopped: bool,
    load: LoadShape,
    connect: Connects,
    messages: Messages,
    deliveries: Deliveries,
    faults: Interruptions,
    /// The server's process, if it runs on this machine; of several servers, all.
    server: Option<ProcessCost>,
    /// This process.
    client: Option<ProcessCost>,
    refusals: Vec<CountedRefusal>,
}

/// What was asked for.
#[derive(Debug, Serialize)]
struct LoadShape {
    /// Of several servers, with blanks between them.
    url: String,
    target: &'static str,
    transport: &'static str,
    connections: usize,
    rooms: usize,
    senders: usize,
    in_flight: Option<usize>,
    rate: Option<f64>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Connects {
    joined: u64,
    /// Clients that never joined.
    missing: u64,
    /// Attempts that failed, those of clients that came back included.
    failed: u64,
    seconds: f64,
    per_second: f64,
    /// From the begin of a connection until the room was joined.
    latency_ms: Percentiles,
}

#[derive(Debug, Serialize)]
struct Messages {
    sent: u64,
    sent_again: u64,
    acked: u64,
    refused: u64,
    /// Without an ack, and nobody received them: sent into a connection that was cut.
    unconfirmed: u64,
    per_second: f64,
    /// From when a message should have been sent until its ack.
    ack_ms: Percentiles,
}

#[derive(Debug, Serialize)]
struct Deliveries {
    received: u64,
    lost: u64,
    repeated: u64,
    disordered: u64,
    per_second: f64,
    /// From when a message should have been sent until a client had received it.
    latency_ms: Percentiles,
    /// Events that were no messages of this load.
    other_events: u64,
}

#[derive(Debug, Serialize)]
struct Interruptions {
    cut: u64,
    /// Connections that ended by themselves.
    dropped: u64,
    recovered: u64,
    started_anew: u64,
    /// From the begin of the next connection until the client was back.
    come_back_ms: Percentiles,
    /// How long it took from each storm until all were back.
    storms_ms: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct ProcessCost {
    pid: Option<u32>,
    cpu_seconds: f64,
    cpu_us_per_delivery: Option<f64>,
    cpu_us_per_message: Option<f64>,
    memory_bytes: u64,
    memory_before_bytes: Option<u64>,
    memory_max_bytes: Option<u64>,
    memory_per_connection_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct CountedRefusal {
    #[serde(flatten)]
    refusal: Refusal,
    count: u64,
    advice: Option<&'static str>,
}

/// Percentiles in ms; all `None` if nothing was measured.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Percentiles {
    count: u64,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    max: Option<f64>,
}

impl Percentiles {
    fn of(times: &Histogram<u64>) -> Self {
        if times.is_empty() {
            return Self::default();
        }
        let at = |quantile| Some(times.value_at_quantile(quantile) as f64 / 1e3);
        Self {
            count: times.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: Some(times.max() as f64 / 1e3),
        }
    }
}

/// Everything that was counted and measured.
pub(super) struct Facts<'a> {
    pub(super) plan: &'a Plan,
    pub(super) totals: Totals,
    /// What was counted while it was measured, and how long that was.
    pub(super) window: Totals,
    pub(super) took: Duration,
    /// Until the last client had joined.
    pub(super) ramp: Duration,
    /// The server's and this process's, while it was measured.
    pub(super) usage: [Option<Usage>; 2],
    pub(super) pid: Option<u32>,
    /// The server's memory before the first connection, and at most.
    pub(super) memory: [u64; 2],
    pub(super) storms: &'a [Duration],
    pub(super) recorder: &'a Recorder,
    pub(super) lost: Lost,
    pub(super) drained: bool,
    pub(super) stopped: bool,
    pub(super) refusals: Vec<(Refusal, u64)>,
}

impl Facts<'_> {
    pub(super) fn report(self) -> Report {
        let totals = &self.totals;
        let missing = (self.plan.clients() as u64).saturating_sub(totals.joined);
        let is_faultless = self.lost.deliveries + totals.repeats + totals.disorder == 0;
        let is_stopped_early = self.stopped && !self.drained;
        Report {
            // Of what was on its way when the user ended it nobody can say that it got lost.
            ok: (is_faultless || (is_stopped_early && totals.repeats + totals.disorder == 0))
                && missing == 0
                && (self.plan.senders == 0 || totals.deliveries > 0 || self.stopped),
            stopped: self.stopped,
            load: self.shape(),
            connect: self.connects(missing),
            messages: Messages {
                sent: totals.sent,
                sent_again: totals.sent_again,
                acked: totals.acked,
                refused: totals.refused,
                unconfirmed: self.lost.unconfirmed,
                per_second: self.per_second(self.window.sent),
                ack_ms: Percentiles::of(&self.recorder.ack),
            },
            deliveries: Deliveries {
                received: totals.deliveries,
                lost: if is_stopped_early {
                    0
                } else {
                    self.lost.deliveries
                },
                repeated: totals.repeats,
                disordered: totals.disorder,
                per_second: self.per_second(self.window.deliveries),
                latency_ms: Percentiles::of(&self.recorder.delivery),
                other_events: totals.other_packets,
            },
            faults: Interruptions {
                cut: totals.cut,
                dropped: totals.dropped,
                recovered: totals.recovered,
                started_anew: totals.started_anew,
                come_back_ms: Percentiles::of(&self.recorder.come_back),
                storms_ms: self
                    .storms
                    .iter()
                    .map(|time| time.as_secs_f64() * 1e3)
                    .collect(),
            },
            server: self.server_cost(),
            client: self.usage[1].map(|usage| self.cost(usage, None)),
            refusals: self
                .refusals
                .into_iter()
                .map(|(refusal, count)| CountedRefusal {
                    advice: refusal.advice(),
                    refusal,
                    count,
                })
                .collect(),
        }
    }

    fn shape(&self) -> LoadShape {
        let plan = self.plan;
        let addresses = plan.addresses.iter();
        let urls = addresses.map(|address| format!("http://{}{}", address.host, address.prefix));
        let (in_flight, rate) = match plan.pace {
            _ if plan.senders == 0 => (None, None),
            Pace::Closed { window, .. } => (Some(window), None),
            Pace::Open { rate } => (None, Some(rate)),
        };
        LoadShape {
            url: urls.collect::<Vec<_>>().join(" "),
            target: match plan.protocol {
                Protocol::Switchboard { .. } => "switchboard",
                Protocol::Plain(_) => "socket.io",
            },
            transport: plan.transport.name(),
            connections: plan.connections,
            rooms: plan.rooms,
            senders: plan.senders,
            in_flight,
            rate,
            seconds: self.took.as_secs_f64(),
        }
    }

    fn connects(&self, missing: u64) -> Connects {
        let seconds = self.ramp.as_secs_f64();
        Connects {
            joined: self.totals.joined,
            missing,
            failed: self.totals.failed_connects,
            seconds,
            per_second: self.totals.joined as f64 / seconds.max(1e-6),
            latency_ms: Percentiles::of(&self.recorder.connect),
        }
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.took.as_secs_f64().max(1e-6)
    }

    fn server_cost(&self) -> Option<ProcessCost> {
        let usage = self.usage[0]?;
        let [before, max] = self.memory;
        let connections = self.totals.connected().max(1);
        Some(ProcessCost {
            memory_before_bytes: Some(before),
            memory_max_bytes: Some(max),
            memory_per_connection_bytes: Some(usage.memory.saturating_sub(before) / connections),
            ..self.cost(usage, self.pid)
        })
    }

    fn cost(&self, usage: Usage, pid: Option<u32>) -> ProcessCost {
        let cpu = usage.cpu.as_secs_f64();
        let each = |count: u64| (count > 0).then(|| cpu * 1e6 / count as f64);
        ProcessCost {
            pid,
            cpu_seconds: cpu,
            cpu_us_per_delivery: each(self.window.deliveries),
            cpu_us_per_message: each(self.window.sent),
            memory_bytes: usage.memory,
            memory_before_bytes: None,
            memory_max_bytes: None,
            memory_per_connection_bytes: None,
        }
    }
}

#[cfg(test)]
mod tests;
