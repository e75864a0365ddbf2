//! The accept loop: takes QUIC connections within their bounds, and passes each one's request for a session to the router.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{
    HeaderName, HeaderValue, Method, Request, StatusCode, Version,
    header::{HOST, ORIGIN, USER_AGENT},
};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use wtransport::{
    Endpoint, VarInt,
    config::QuicTransportConfig,
    endpoint::{IncomingSession as Handshake, SessionRequest, endpoint_side},
};

use super::{
    IncomingSession,
    session::{OfferedSession, SessionPlace},
};
use crate::{
    error::Result,
    http::{
        ClientAddress, ServerConfig, TlsAcceptor,
        idle::{ConnectionActivity, IdleConnections},
        request_context::normalize_host,
        server::max_sockets,
    },
};

/// Handshakes under way from which on a client has to prove its address first: packets of UDP may come from anybody in
/// anybody's name.
const UNPROVEN_HANDSHAKES: usize = 64;

/// Streams that a client may have open: the session's own and the one that carries packets.
const MAX_STREAMS: u32 = 4;
/// HTTP/3's own streams in one direction: control, and two of QPACK. Others are refused by what reads them.
const MAX_UNI_STREAMS: u32 = 8;

/// Bytes of a stream that may arrive before they are read.
const STREAM_WINDOW: u32 = 64 << 10;
/// Bytes of all streams of a connection that may arrive before they are read.
const RECEIVE_WINDOW: u32 = 96 << 10;
/// Bytes of a connection that are sent and not acknowledged.
const SEND_WINDOW: u64 = 64 << 10;
/// Bytes of datagrams that wait, which nobody reads here; browsers want them supported.
const DATAGRAM_BUFFER: usize = 4 << 10;

/// Connections that have no place any more and are still open: they are being closed, or their handshake was given up or their session
/// refused, and they end when their client wants or is silent, as the library has no way to close those. Beyond so many, new
/// ones are refused until some are gone.
const MAX_LINGERING: usize = 2048;

/// How long connections may take to end when the server stops.
const CLOSE_GRACE: Duration = Duration::from_millis(300);

/// Listens for WebTransport.
pub(crate) struct WebTransportListener {
    endpoint: Endpoint<endpoint_side::Server>,
    /// The only path that has sessions.
    path: String,
}

impl WebTransportListener {
    /// Listens on a UDP address for sessions at `path`, with the certificates that `tls` has at any time. A connection ends when nothing has been
    /// heard of its client for `idle_timeout`. To be called within a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(crate) fn bind(
        address: SocketAddr,
        path: &str,
        tls: &TlsAcceptor,
        idle_timeout: Duration,
    ) -> io::Result<Self> {
        let mut transport = QuicTransportConfig::default();
        transport
            .max_idle_timeout(Some(idle_timeout.try_into().map_err(io::Error::other)?))
            .max_concurrent_bidi_streams(MAX_STREAMS.into())
            .max_concurrent_uni_streams(MAX_UNI_STREAMS.into())
            .stream_receive_window(STREAM_WINDOW.into())
            .receive_window(RECEIVE_WINDOW.into())
            .send_window(SEND_WINDOW)
            .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
            .datagram_send_buffer_size(DATAGRAM_BUFFER);
        let quic = tls.quic_config().map_err(io::Error::other)?;
        let config = wtransport::ServerConfig::builder()
            .with_bind_address(address)
            .with_custom_tls_and_transport(quic, transport)
            .build();
        let endpoint = Endpoint::server(config)?;
        tls.set_serves_quic();
        Ok(Self {
            endpoint,
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    /// Accepts sessions until `stop`; open ones go on until `end`.
    pub(crate) async fn serve(
        self,
        router: Router,
        config: ServerConfig,
        stop: CancellationToken,
        end: CancellationToken,
    ) {
        let max = max_sockets(&config);
        let places = Arc::new(Semaphore::new(max));
        let idle = IdleConnections::new(
            config.idle_connections,
            config.peers.trusted_proxies.clone(),
            config.metrics.clone(),
        );
        let (handshakes, closing) = (TaskTracker::new(), TaskTracker::new());
        loop {
            let handshake = tokio::select! {
                () = end.cancelled() => break,
                handshake = self.endpoint.accept() => handshake,
            };
            let with_place = max - places.available_permits();
            let lingering = self.endpoint.open_connections().saturating_sub(with_place);
            if stop.is_cancelled() || lingering > MAX_LINGERING {
                handshake.refuse();
                continue;
            }
            let is_proven = handshake.remote_address_validated();
            if !is_proven && handshakes.len() >= UNPROVEN_HANDSHAKES {
                handshake.retry();
                continue;
            }
            let Ok(permit) = places.clone().try_acquire_owned() else {
                idle.close_one(); // the next one finds its place
                handshake.refuse();
                continue;
            };
            let address = handshake.remote_address().ip().to_canonical();
            let place = SessionPlace {
                _permit: permit,
                activity: ConnectionActivity::new(idle.clone(), address),
                closing: closing.clone(),
            };
            let (router, config) = (router.clone(), config.clone());
            handshakes.spawn(open(handshake, place, self.path.clone(), router, config));
        }
        closing.close();
        let _ = timeout(CLOSE_GRACE, closing.wait()).await;
        self.endpoint.close(VarInt::from_u32(0), b"");
        let _ = timeout(CLOSE_GRACE, self.endpoint.wait_idle()).await;
    }
}

/// Does a handshake, and asks the router about the session.
async fn open(
    handshake: Handshake,
    place: SessionPlace,
    path: String,
    router: Router,
    config: ServerConfig,
) {
    let (peer, activity) = (handshake.remote_address(), place.activity.clone());
    let asked = tokio::select! {
        asked = timeout(config.header_timeout, handshake) => asked,
        () = activity.closed() => return,
    };
    let request = match asked {
        Ok(Ok(asked)) => asked,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "a WebTransport handshake failed");
            return;
        }
        Err(_) => return,
    };
    let asked = request_of(&request).and_then(|request| prepare(request, peer, &config));
    let session = IncomingSession::new(OfferedSession { request, place });
    let status = match asked {
        Ok(asked) if asked.uri().path().trim_end_matches('/') != path => StatusCode::NOT_FOUND,
        Ok(mut asked) => {
            asked.extensions_mut().insert(session.clone());
            match timeout(config.header_timeout, router.oneshot(asked)).await {
                Ok(Ok(response)) => response.status(),
                Err(_) => StatusCode::SERVICE_UNAVAILABLE,
            }
        }
        Err(error) => {
            config.metrics.error(&error);
            StatusCode::FORBIDDEN
        }
    };
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    tracing::debug!(%peer, %status, "a WebTransport session was refused");
    if let Some(OfferedSession { request, .. }) = session.take() {
        let refused = async {
            match status {
                StatusCode::NOT_FOUND => request.not_found().await,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    request.too_many_requests().await;
                }
                _ => request.forbidden().await,
            }
        };
        let _ = timeout(CLOSE_GRACE, refused).await;
    }
}

/// A request for a session as the router takes it.
fn request_of(asked: &SessionRequest) -> Result<Request<Body>> {
    let bad = |what: &str| crate::error::Error::bad_request(format!("the {what} is malformed"));
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::CONNECT;
    *request.version_mut() = Version::HTTP_3;
    *request.uri_mut() = asked.path().parse().map_err(|_| bad(":path"))?;
    for (name, value) in asked.headers().iter() {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            request.headers_mut().append(name, value);
        }
    }
    let known = [
        (HOST, Some(asked.authority())),
        (ORIGIN, asked.origin()),
        (USER_AGENT, asked.user_agent()),
    ];
    for (name, value) in known {
        if let Some(value) = value {
            let value = value.parse().map_err(|_| bad(name.as_str()))?;
            request.headers_mut().insert(name, value);
        }
    }
    Ok(request)
}

/// Adds what every request has, whichever server accepted it.
fn prepare(
    mut request: Request<Body>,
    peer: SocketAddr,
    config: &ServerConfig,
) -> Result<Request<Body>> {
    config.peers.check(Some(peer.ip()))?;
    normalize_host(&mut request)?;
    // No proxy passes WebTransport on.
    let address = ClientAddress {
        tls: true,
        ..ClientAddress::of(peer.ip(), request.headers(), &[])
    };
    request.extensions_mut().insert(address);
    Ok(request)
}
