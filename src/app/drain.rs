//! Stopping in order: refuse, tell, close at a pace, store.
//!
//! Clients that are closed together come back together. So each is told first, with a time of its own, and the closing
//! is spread over the configured time: seconds where other nodes take them. Where they can only come back to this node it is a
//! moment, for one that comes before the next process listens is refused, and comes much later. Each connection costs what it
//! costs to close it and no more: those that come late close themselves, and nobody looks through all of them again.

use std::{sync::Arc, time::Duration};

use rand::{Rng, seq::SliceRandom};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    config::DrainSettings,
    hub::{CloseReason, Connection, Hub, Outgoing},
};

/// How far apart clients that are closed at the same moment come back.
const JITTER: Duration = Duration::from_secs(1);

/// The longest pause between two closings: a few clients that come back together are no burden.
const UNHURRIED: Duration = Duration::from_millis(20);

/// How often it is looked whether everybody has gone.
const ROUND: Duration = Duration::from_millis(20);

/// Refuses new clients, tells those that are there, and closes them; returns when all are gone or the time for it is
/// over. `others`: there are nodes that can take them.
pub(crate) async fn drain(
    hub: &Hub,
    settings: &DrainSettings,
    others: bool,
    draining: &CancellationToken,
) {
    draining.cancel();
    hub.close_newcomers();
    let begin = Instant::now();
    let over = settings.period(others);
    let plan = plan(hub.connections(), begin, over);
    tracing::info!(connections = plan.len(), ?over, "draining");
    for (connection, at) in &plan {
        let reconnect_in = *at - begin + jitter();
        connection.push(&Outgoing::notice(
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
        if hub.is_deserted() {
            tracing::info!(took = ?begin.elapsed(), "every connection is closed");
            return;
        }
        sleep(ROUND).await;
    }
    tracing::warn!(
        connections = hub.connections().len(),
        "some connections did not end within drain.deadline"
    );
}

/// When each connection is to be closed: at an even pace, in no order that clients could have agreed on.
fn plan(
    mut connections: Vec<Arc<Connection>>,
    begin: Instant,
    over: Duration,
) -> Vec<(Arc<Connection>, Instant)> {
    connections.shuffle(&mut rand::rng());
    let parts = u32::try_from(connections.len()).unwrap_or(u32::MAX).max(1);
    let step = (over / parts).min(UNHURRIED);
    (1u32..)
        .zip(connections)
        .map(|(nth, connection)| (connection, begin + step * nth))
        .collect()
}

fn jitter() -> Duration {
    JITTER.mul_f64(rand::rng().random())
}
