//! The reference of all metrics for the documentation: what each means, and what changes it.

use std::fmt::Write as _;

use prometheus_client::metrics::MetricType;

use super::{
    Metrics, PREFIX,
    collectors::{CLUSTER_METRICS, READY_METRIC},
    metric_info::MetricInfo,
    process::PROCESS_METRICS,
};

/// Formats all metrics as a Markdown table for the documentation.
pub fn table() -> String {
    let mut table = String::from(
        "| metric | type | labels | description | changed by |\n|---|---|---|---|---|\n",
    );
    let metrics = Metrics::unlabelled().infos();
    for metric in metrics
        .into_iter()
        .chain(CLUSTER_METRICS)
        .chain([READY_METRIC])
    {
        write_row(&mut table, &format!("{PREFIX}_{}", metric.name), &metric);
    }
    for metric in PROCESS_METRICS {
        write_row(&mut table, metric.name, &metric);
    }
    table
}

fn write_row(table: &mut String, name: &str, metric: &MetricInfo) {
    let (kind, total) = match metric.kind {
        MetricType::Counter => ("counter", "_total"),
        MetricType::Histogram => ("histogram", ""),
        _ => ("gauge", ""),
    };
    let labels: Vec<_> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
    let _ = writeln!(
        table,
        "| `{name}{total}` | {kind} | {} | {} | {} |",
        labels.join(", "),
        metric.help,
        metric.triggers.join(", ")
    );
}
