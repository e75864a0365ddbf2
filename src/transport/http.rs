//! HTTP beneath every door: accepting connections within time and number.

mod address;
mod connection;
mod cut;
pub(super) mod forwarded;
mod offered;
mod refusal;
mod trace;

use std::{sync::Arc, time::Duration};

use axum::Router;
use ipnet::IpNet;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::repeat::{Backoff, log_rarely};

pub use address::ClientAddress;
pub use cut::Cut;
pub use refusal::{Refused, method_not_allowed, refusal, status};
pub use trace::{REQUEST_ID, traced};

/// TCP connections that may be open beyond the configured number of realtime connections: health checks, metrics and
/// polling that comes over several.
const SPARE_SOCKETS: usize = 1024;

/// How soon accepting is tried again when the machine is out of descriptors; a tenfold at most.
const AGAIN: Duration = Duration::from_millis(100);

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
            .saturating_add(SPARE_SOCKETS)
            .min(Semaphore::MAX_PERMITS),
    }));
    let tasks = TaskTracker::new();
    let mut backoff = Backoff::new(AGAIN, AGAIN * 10);
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => {
                    backoff.reset();
                    accepted
                }
                Err(error) => {
                    pause_after(&error, &mut backoff).await;
                    continue;
                }
            },
        };
        // Without a place the socket is closed at once: better than a queue nobody will serve.
        if let Ok(place) = sockets.clone().try_acquire_owned() {
            let (router, accepting, end) = (router.clone(), accepting.clone(), end.clone());
            tasks.spawn(async move {
                connection::serve(stream, peer, router, accepting, end).await;
                drop(place);
            });
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Waits a moment when the machine is out of descriptors or memory; a peer that vanished costs nothing.
async fn pause_after(error: &std::io::Error, backoff: &mut Backoff) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset) {
        log_rarely!(warn, %error, "no connection could be accepted; is the limit of open files too low?");
        backoff.wait().await;
    }
}
