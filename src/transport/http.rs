//! HTTP beneath every door: accepting connections within time and number.

mod address;
mod arriving;
mod connection;
mod cut;
pub(super) mod forwarded;
mod idle;
mod offered;
mod refusal;
mod trace;

use std::{sync::Arc, time::Duration};

use axum::Router;
use ipnet::IpNet;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    idle::{Activity, IdleConnections},
    offered::Offers,
};
use crate::{
    limits::Pool,
    repeat::{Backoff, log_rarely},
    telemetry::Metrics,
};

pub use address::ClientAddress;
pub use cut::Cut;
pub use offered::Shared;
pub use refusal::{Refused, method_not_allowed, refusal, status};
pub use trace::{REQUEST_ID, traced};

/// TCP connections that may be open beyond the configured number of realtime connections: health checks, metrics and
/// polling that comes over several.
const SPARE_SOCKETS: usize = 1024;

/// How soon accepting is tried again when the machine is out of descriptors, and how late at the most.
const AGAIN: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(500)];

/// Connections without a request that are closed then, so that those who come have some.
const CLOSED: usize = 64;

/// How the server accepts.
#[derive(Clone, Debug)]
pub struct Accepting {
    /// A request's head has to arrive within this time; an HTTP/2 connection may be without a request for as long.
    pub header_timeout: Duration,
    /// How long the peer's system may leave unanswered what was sent. One that vanished without a word, and only listens to
    /// a stream of events, would otherwise be there for as long as our system tries, a quarter of an hour.
    pub silence: Duration,
    /// Proxies whose `X-Forwarded-*` and `Forwarded` are believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Realtime connections that there may be; 0 is no limit.
    pub connections: usize,
    /// TCP connections without a request that there may be; 0 is no limit.
    pub idle_connections: usize,
    /// What requests and answers are reserved of while they are on their way.
    pub memory: Arc<Pool>,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
}

/// Accepts and serves until `stop`; then no new connection is taken, and those that are open go on until `end`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    accepting: Accepting,
    stop: CancellationToken,
    end: CancellationToken,
) {
    let sockets = Arc::new(Semaphore::new(match accepting.connections {
        0 => Semaphore::MAX_PERMITS,
        most => most
            .saturating_add(accepting.idle_connections)
            .saturating_add(SPARE_SOCKETS)
            .min(Semaphore::MAX_PERMITS),
    }));
    let idle = IdleConnections::new(
        accepting.idle_connections,
        accepting.trusted_proxies.clone(),
        accepting.metrics.clone(),
    );
    let offers = Offers::new(accepting.memory.clone(), accepting.metrics.clone());
    let mut looking_after = JoinSet::new();
    looking_after.spawn(offers.clone().look_after());
    let tasks = TaskTracker::new();
    let mut backoff = Backoff::new(AGAIN[0], AGAIN[1]);
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => {
                    backoff.reset();
                    accepted
                }
                Err(error) if came_to_nothing(&error) => continue,
                Err(error) => {
                    log_rarely!(warn, %error, "no connection can be accepted; is the limit of open files too low?");
                    for _ in 0..CLOSED {
                        idle.close_one();
                    }
                    backoff.wait().await;
                    continue;
                }
            },
        };
        let place = sockets.clone().try_acquire_owned().ok();
        if place.is_none() && !idle.close_one() {
            continue; // closed at once: better than a queue nobody will serve
        }
        let activity = Activity::new(idle.clone(), peer.ip().to_canonical());
        let (router, accepting, end) = (router.clone(), accepting.clone(), end.clone());
        let keeping = (activity, offers.clone());
        tasks.spawn(async move {
            connection::serve(stream, peer, router, accepting, keeping, end).await;
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Whether only the peer has vanished that was to be accepted.
fn came_to_nothing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset)
}
