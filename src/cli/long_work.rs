//! Long work of a command: shown while it lasts, and stopped by Ctrl-C or SIGTERM.

use std::{env, sync::Arc, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::terminal::{self, TerminalLine};
use crate::progress::{self, LogLines, Progress, ProgressView};

/// The environment variable that has a debug build show work earlier than usual, in milliseconds: tests have no log that is large
/// enough.
const SHOWN_AFTER: &str = "SWITCHBOARD_TEST_PROGRESS_AFTER_MS";

/// Does the work on a thread of its own, and shows its progress. A signal cancels the progress, and this returns when the work has
/// stopped; a second one ends the process.
///
/// # Panics
/// Panics outside of a tokio runtime, and where the work panics.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce(&Arc<Progress>) -> T + Send + 'static,
) -> T {
    let progress = Arc::new(Progress::default());
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let stopping = match signals {
        (Ok(interrupt), Ok(terminate)) => {
            tokio::spawn(stop_at_signal(interrupt, terminate, progress.clone()))
        }
        _ => tokio::spawn(async {
            tracing::error!("installing signal handlers failed; the work can only be killed");
        }),
    };
    let done = tokio::task::spawn_blocking(move || {
        let mut view: Box<dyn ProgressView> = match terminal::can_redraw() {
            true => Box::new(TerminalLine),
            false => Box::new(LogLines::default()),
        };
        progress::watch(&progress, &mut *view, shown_after(), || work(&progress))
    });
    let result = done.await;
    stopping.abort();
    match result {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn shown_after() -> Duration {
    let set = cfg!(debug_assertions).then(|| env::var(SHOWN_AFTER).ok());
    let millis = set.flatten().and_then(|millis| millis.parse().ok());
    millis.map_or(progress::SHOWN_AFTER, Duration::from_millis)
}

async fn stop_at_signal(mut interrupt: Signal, mut terminate: Signal, progress: Arc<Progress>) {
    received(&mut interrupt, &mut terminate).await;
    progress.cancel();
    received(&mut interrupt, &mut terminate).await;
    terminal::erase();
    std::process::exit(i32::from(super::INTERRUPTED));
}

async fn received(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
