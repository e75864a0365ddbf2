//! The log of a command: to standard error, as `log.format` and `log.filter` say. Standard output is for results.

use tracing_subscriber::{
    EnvFilter, Layer, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt,
};

use super::terminal;
use crate::{
    config::{LogFormat, LogSettings},
    traces::TraceExport,
};

/// Starts the log, and gives spans to `traces`, if they are exported.
pub(super) fn start(settings: &LogSettings, traces: Option<&TraceExport>) {
    let lines = fmt::layer()
        .with_writer(|| terminal::LogWriter)
        .with_ansi(terminal::has_colors());
    let lines = match settings.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    registry()
        .with(lines.with_filter(EnvFilter::new(settings.directives())))
        .with(traces.map(TraceExport::layer))
        .init();
}
