//! The accept loop: takes TCP connections within their bounds and serves each in a task of its own.

use std::{sync::Arc, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ServerConfig,
    connection::{self, ConnectionContext},
    idle::{ConnectionActivity, IdleConnections},
    response_memory::PendingResponses,
};
use crate::retry::{Backoff, log_rarely};

/// TCP connections that may be open beyond the configured number of realtime connections: health checks, metrics, and
/// polling clients that use several.
const EXTRA_SOCKETS: usize = 1024;

/// First and longest delay before accepting again after the machine ran out of file descriptors.
const ACCEPT_BACKOFF: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(500)];

/// Idle connections that are closed after such a failure, to free descriptors for new clients.
const CLOSED_ON_ACCEPT_FAILURE: usize = 64;

/// Accepts and serves connections until `stop`. Then no new connection is accepted; open ones go on until `end`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: ServerConfig,
    stop: CancellationToken,
    end: CancellationToken,
) {
    let sockets = Arc::new(Semaphore::new(max_sockets(&config)));
    let idle = IdleConnections::new(
        config.idle_connections,
        config.peers.trusted_proxies.clone(),
        config.metrics.clone(),
    );
    let responses = PendingResponses::new(config.memory.clone(), config.metrics.clone());
    let mut background = JoinSet::new();
    background.spawn(responses.clone().drop_stalled_periodically());
    let tasks = TaskTracker::new();
    let mut backoff = Backoff::new(ACCEPT_BACKOFF[0], ACCEPT_BACKOFF[1]);
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => {
                    backoff.reset();
                    accepted
                }
                Err(error) if is_peer_gone(&error) => continue,
                Err(error) => {
                    log_rarely!(warn, %error, "cannot accept connections; is the limit of open files too low?");
                    for _ in 0..CLOSED_ON_ACCEPT_FAILURE {
                        idle.close_one();
                    }
                    backoff.wait().await;
                    continue;
                }
            },
        };
        let permit = sockets.clone().try_acquire_owned().ok();
        if permit.is_none() && !idle.close_one() {
            continue; // closed at once: better than a queue that is never served
        }
        let context = ConnectionContext {
            activity: ConnectionActivity::new(idle.clone(), peer.ip().to_canonical()),
            responses: responses.clone(),
        };
        let (router, config, end) = (router.clone(), config.clone(), end.clone());
        tasks.spawn(async move {
            connection::serve(stream, peer, router, config, context, end).await;
            drop(permit);
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

pub(super) fn max_sockets(config: &ServerConfig) -> usize {
    match config.connections {
        0 => Semaphore::MAX_PERMITS,
        connections => connections
            .saturating_add(config.idle_connections)
            .saturating_add(EXTRA_SOCKETS)
            .min(Semaphore::MAX_PERMITS),
    }
}

/// Whether accepting failed only because the peer is gone again.
fn is_peer_gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset)
}
