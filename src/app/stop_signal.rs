//! The signals that stop the server.

use tokio::signal::unix::{SignalKind, signal};

/// Completes when the process receives Ctrl-C or SIGTERM. A second signal exits at once.
///
/// Signals are caught from this call on, so call it before anything that must not be interrupted.
///
/// # Panics
/// Panics outside of a tokio runtime.
pub fn stop_signal() -> impl Future<Output = ()> {
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
            tracing::error!(
                "installing signal handlers failed; the server runs until it is killed"
            );
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("stopping: clients are notified and closed; press again to exit at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    }
}
