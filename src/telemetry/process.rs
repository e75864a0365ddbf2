//! What the process uses, under the names that Prometheus' client libraries use for it: memory, CPU time, open files, start time.
//!
//! Read from `/proc`, so only Linux has them.

use std::{
    fmt, fs,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::metric_info::MetricInfo;
use crate::procfs::{TICKS_PER_SECOND, parse_cpu_ticks, parse_resident_kib};

/// The metrics of the process; their names have no prefix.
pub(super) const PROCESS_METRICS: [MetricInfo; 4] = [
    gauge(
        "process_resident_memory_bytes",
        "Memory of the process in RAM (Linux)",
    ),
    MetricInfo {
        name: "process_cpu_seconds",
        help: "CPU time of the process, user and system (Linux)",
        kind: MetricType::Counter,
        labels: &[],
        triggers: &[],
    },
    gauge("process_open_fds", "Open file descriptors (Linux)"),
    gauge(
        "process_start_time_seconds",
        "When the server was started, in seconds since the Unix epoch",
    ),
];

const fn gauge(name: &'static str, help: &'static str) -> MetricInfo {
    MetricInfo {
        name,
        help,
        kind: MetricType::Gauge,
        labels: &[],
        triggers: &[],
    }
}

/// The metrics of this process, in a registry of their own because their names have no prefix.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessCollector {
        started: SystemTime::now(),
    }));
    registry
}

struct ProcessCollector {
    started: SystemTime,
}

impl fmt::Debug for ProcessCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessCollector")
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let [memory, cpu, files, start] = &PROCESS_METRICS;
        let mut gauge = |info: &MetricInfo, value: Option<f64>| match value {
            Some(value) => ConstGauge::new(value)
                .encode(encoder.encode_descriptor(info.name, info.help, None, info.kind)?),
            None => Ok(()),
        };
        gauge(memory, resident_bytes())?;
        gauge(files, open_files())?;
        let started = self.started.duration_since(UNIX_EPOCH);
        gauge(start, started.ok().map(|since| since.as_secs_f64()))?;
        if let Some(seconds) = cpu_seconds() {
            let metric = encoder.encode_descriptor(cpu.name, cpu.help, None, cpu.kind)?;
            ConstCounter::new(seconds).encode(metric)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    parse_resident_kib(&status).map(|kib| kib * 1024.0)
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    parse_cpu_ticks(&stat).map(|ticks| ticks / TICKS_PER_SECOND)
}

fn open_files() -> Option<f64> {
    // The kernel reports the number as the folder's size since Linux 6.2; counting costs a system call for some hundred files.
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    let count = match size {
        0 => fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        size => size,
    };
    u32::try_from(count).ok().map(f64::from)
}

#[cfg(test)]
mod tests;
