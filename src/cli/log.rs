//! The log of a command: to standard error, as `log.format` and `log.filter` say. Standard output is for results.

use super::terminal;
use crate::config::{LogFormat, LogSettings};

pub(super) fn start(settings: &LogSettings) {
    let filter = tracing_subscriber::EnvFilter::new(settings.directives());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| terminal::LogWriter)
        .with_ansi(terminal::has_colors());
    match settings.format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
