//! HTTP beneath every door: accepting connections within time and number, who the client is, and how a refusal looks.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::error::{Code, Error};

/// The address a request is counted for: the peer's, or what a trusted proxy says.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// TCP connections that may be open beyond the configured number of realtime connections: health checks, metrics and
/// polling that comes over several.
const SPARE_SOCKETS: usize = 1024;

/// How the server accepts.
#[derive(Clone, Debug)]
pub struct Accepting {
    /// A request's head has to arrive within this time.
    pub header_timeout: Duration,
    /// Proxies whose `X-Forwarded-For` is believed.
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
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
        };
        // Without a place the socket is closed at once: better than a queue nobody will serve.
        if let Ok(place) = sockets.clone().try_acquire_owned() {
            let (router, accepting, end) = (router.clone(), accepting.clone(), end.clone());
            tasks.spawn(async move {
                serve_one(stream, peer, router, accepting, end).await;
                drop(place);
            });
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Waits a moment when the machine is out of descriptors or memory; a peer that vanished costs nothing.
async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset) {
        tracing::warn!(%error, "no connection could be accepted; is the limit of open files too low?");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    accepting: Accepting,
    end: CancellationToken,
) {
    // Small frames are the rule here; waiting to fill a segment would only add latency.
    let _ = stream.set_nodelay(true);
    let proxies = accepting.trusted_proxies;
    let service = router.map_request(move |mut request: Request<hyper::body::Incoming>| {
        let address = client_address(peer.ip(), request.headers(), &proxies);
        request.extensions_mut().insert(ClientAddress(address));
        request.map(Body::new)
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(accepting.header_timeout);
    let connection = server
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
    }
}

/// The nearest address that is not a trusted proxy's, read from the end of `X-Forwarded-For`: what stands before it
/// anybody could have written.
fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let trusted = |address: IpAddr| {
        let address = address.to_canonical();
        proxies.iter().any(|proxy| proxy.contains(&address))
    };
    if !trusted(peer) {
        return peer;
    }
    let mut client = peer;
    let said = headers.get_all("x-forwarded-for").into_iter().rev();
    for value in said {
        let Ok(value) = value.to_str() else {
            return client;
        };
        for text in value.rsplit(',') {
            let Ok(address) = text.trim().parse() else {
                return client;
            };
            client = address;
            if !trusted(address) {
                return client;
            }
        }
    }
    client
}

/// The HTTP status that fits an error's code.
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::BadRequest | Code::NotJoined => StatusCode::BAD_REQUEST,
        Code::Unauthorized | Code::TokenExpired => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::LimitReached | Code::Unavailable | Code::Draining => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error as an HTTP answer: its status, its body, and `Retry-After` in whole seconds where it has one.
pub fn refusal(error: &Error) -> Response {
    let mut response = (status(error.code()), Json(error)).into_response();
    if let Some(wait) = error.retry_after_ms() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
    }
    if status(error.code()) == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        refusal(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_nearest_address_that_is_no_trusted_proxy() {
        let proxies = [
            "10.0.0.0/8".parse().unwrap(),
            "127.0.0.1/32".parse().unwrap(),
        ];
        let address = |peer: &str, said: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            client_address(peer.parse().unwrap(), &headers, &proxies).to_string()
        };
        assert_eq!(address("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(
            address("127.0.0.1", &["6.6.6.6, 198.51.100.7, 10.1.1.1"]),
            "198.51.100.7"
        );
        assert_eq!(
            address("127.0.0.1", &["6.6.6.6", "198.51.100.7"]),
            "198.51.100.7"
        );
        assert_eq!(address("127.0.0.1", &["rubbish"]), "127.0.0.1");
        assert_eq!(address("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(
            address("::ffff:127.0.0.1", &["198.51.100.7"]),
            "198.51.100.7"
        );
    }
}
