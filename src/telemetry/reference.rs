//! The reference of all metrics for the documentation: what each means, and what changes it.

use std::fmt::Write as _;

use prometheus_client::metrics::MetricType;

use super::{
    Metrics, PREFIX,
    collectors::{CLUSTER_METRICS, READY_METRIC},
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
        let (kind, total) = match metric.kind {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Histogram => ("histogram", ""),
            _ => ("gauge", ""),
        };
        let labels: Vec<_> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
        let _ = writeln!(
            table,
            "| `{PREFIX}_{}{total}` | {kind} | {} | {} | {} |",
            metric.name,
            labels.join(", "),
            metric.help,
            metric.triggers.join(", ")
        );
    }
    table
}
