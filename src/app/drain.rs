//! Graceful shutdown: refuse new clients, notify the others, close them at a steady pace.
//!
//! Clients that are closed together reconnect together. So each is told first when to reconnect, and closing is spread over
//! the configured period: seconds if other nodes take them. If they can only come back to this node it is a moment, because
//! a client that tries before the next process listens is refused and backs off. Connections that arrive late close
//! themselves, so the list of connections is walked only once.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, seq::SliceRandom};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    config::DrainSettings,
    hub::{CloseReason, Connection, Hub, OutgoingEvent},
};

/// The jitter of `reconnect_in_ms`, so that clients closed at the same moment do not reconnect together.
const JITTER: Duration = Duration::from_secs(1);

/// The maximum interval between two closings: a few clients that reconnect together are no burden.
const MAX_CLOSE_INTERVAL: Duration = Duration::from_millis(20);

/// How often to check whether all connections are closed.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Refuses new clients, notifies and closes the others; returns when all are closed or the deadline has passed. `has_peers`:
/// other nodes can take the clients.
pub(crate) async fn drain(
    hub: &Hub,
    settings: &DrainSettings,
    has_peers: bool,
    draining: &CancellationToken,
) {
    draining.cancel();
    hub.close_new_connections();
    let begin = Instant::now();
    let period = settings.period(has_peers);
    let plan = plan(hub.connections(), begin, period);
    tracing::info!(connections = plan.len(), ?period, "draining");
    for (connection, at) in &plan {
        let reconnect_in = *at - begin + jitter();
        connection.push(&OutgoingEvent::notice(
            "draining",
            &json!({ "reconnect_in_ms": reconnect_in.as_millis() }),
        ));
    }
    let deadline = begin + settings.deadline.saturating_sub(Duration::from_secs(2));
    for (connection, at) in plan {
        sleep_until(at.min(deadline)).await;
        connection.close(CloseReason::Draining);
    }
    while Instant::now() < deadline {
        if hub.is_idle() {
            tracing::info!(took = ?begin.elapsed(), "all connections are closed");
            return;
        }
        sleep(CHECK_INTERVAL).await;
    }
    tracing::warn!(
        connections = hub.connections().len(),
        "connections still open, or handlers of their ends still running, after drain.deadline"
    );
}

/// Schedules the closing of each connection, in random order at a steady pace.
fn plan(
    mut connections: Vec<Arc<Connection>>,
    begin: Instant,
    period: Duration,
) -> Vec<(Arc<Connection>, Instant)> {
    connections.shuffle(&mut rand::rng());
    let parts = u32::try_from(connections.len()).unwrap_or(u32::MAX).max(1);
    let step = (period / parts).min(MAX_CLOSE_INTERVAL);
    (1u32..)
        .zip(connections)
        .map(|(nth, connection)| (connection, begin + step * nth))
        .collect()
}

fn jitter() -> Duration {
    JITTER.mul_f64(rand::rng().random())
}
