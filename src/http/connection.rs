//! One TCP connection: which version of HTTP it speaks, and how long it may stay silent.
//!
//! Over TLS a client chooses HTTP/2 in the handshake. Without, it comes by prior knowledge: proxies and back ends begin with its
//! preface. Everything that one connection can make the server hold is bounded here.

mod http1;
mod http2;
mod request_handler;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::HttpBody, response::Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::request_handler::RequestHandler;
use super::{
    ServerConfig, TlsAcceptor,
    idle::ConnectionActivity,
    proxy_protocol::{self, ProxiedClient},
    response_memory::PendingResponses,
    tls::{self, TlsConnection},
};
use crate::retry::log_rarely;

/// Bytes that hyper may buffer for a connection in each direction: the largest head of HTTP/1.1, and unsent parts of a response
/// whose peer does not read.
const BUFFER_BYTES: usize = 64 << 10;

/// Bytes of a request's body that flow control lets arrive before the body is read (the window of an HTTP/2 stream).
const BODY_WINDOW: u32 = 64 << 10;

/// How a connection begins that speaks HTTP/2; no method of HTTP/1.1 is spelt like this.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2";

/// What the accept loop hands to a connection beside its configuration.
pub(super) struct ConnectionContext {
    pub(super) activity: Arc<ConnectionActivity>,
    pub(super) responses: PendingResponses,
}

/// What HTTP is served over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The connection below.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsConnection {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Serves a connection until its peer closes it, it stays silent for too long, or `end` is cancelled.
pub(super) async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    config: ServerConfig,
    context: ConnectionContext,
    end: CancellationToken,
) {
    // Small frames are the rule here; waiting to fill a segment would only add latency.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(config.tcp_user_timeout));
    let mut client = ProxiedClient {
        address: peer,
        tls: config.tls.is_some(),
    };
    if config.is_proxy_protocol_of(peer.ip()) {
        // Boxed, so that a connection without a header has no room for one with it.
        let proxied = Box::pin(read_proxied_client(
            &mut stream,
            peer,
            &config,
            &context,
            &end,
        ));
        match proxied.await {
            Some(proxied) => client = proxied,
            None => return,
        }
    }
    let (tls, header_timeout) = (config.tls.clone(), config.header_timeout);
    let handler = RequestHandler::new(router, client, config, context);
    let result = match tls {
        // Boxed, so that a connection without TLS has no room for one with it.
        Some(tls) => Box::pin(serve_tls(tls, stream, peer, handler, header_timeout, end)).await,
        None => serve_plain(stream, handler, header_timeout, end).await,
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "HTTP connection failed");
    }
}

/// Whom a trusted proxy passes a connection on for; `None` if it does not say so and the connection has to be closed.
async fn read_proxied_client(
    stream: &mut TcpStream,
    peer: SocketAddr,
    config: &ServerConfig,
    context: &ConnectionContext,
    end: &CancellationToken,
) -> Option<ProxiedClient> {
    let header = proxy_protocol::read(stream, config.header_timeout);
    let own = config.tls.is_some();
    match unless_closed(header, &context.activity, end).await? {
        Ok(Some(client)) => {
            context
                .activity
                .attribute_to(client.address.ip().to_canonical());
            let tls = own || client.tls;
            Some(ProxiedClient { tls, ..client })
        }
        Ok(None) => Some(ProxiedClient {
            address: peer,
            tls: own,
        }),
        // A check that only connects says nothing wrong.
        Err(error) if is_gone(&error) => None,
        Err(error) => {
            config.metrics.proxy_headers_refused.inc();
            log_rarely!(
                warn,
                %peer,
                %error,
                "a connection of a proxy in http.trusted_proxies does not begin with a PROXY header: have the proxy send it, or set http.proxy_protocol = false"
            );
            None
        }
    }
}

/// Whether the peer has closed the connection.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | UnexpectedEof)
}

async fn serve_plain(
    stream: TcpStream,
    handler: RequestHandler,
    header_timeout: Duration,
    end: CancellationToken,
) -> hyper::Result<()> {
    let detected = timeout(header_timeout, is_http2(&stream));
    let Some(Ok(Ok(http2))) = unless_closed(detected, handler.activity(), &end).await else {
        return Ok(()); // the peer closed it, or sent nothing
    };
    serve_http(stream, http2, handler, header_timeout, end).await
}

async fn serve_tls(
    tls: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    handler: RequestHandler,
    header_timeout: Duration,
    end: CancellationToken,
) -> hyper::Result<()> {
    let accepted = tls.accept(stream, header_timeout);
    let stream = match unless_closed(accepted, handler.activity(), &end).await {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            return Ok(());
        }
        None => return Ok(()),
    };
    let http2 = tls::is_http2(&stream);
    serve_http(stream, http2, handler, header_timeout, end).await
}

/// What a future returns; `None` if the connection has to be closed before.
async fn unless_closed<T>(
    future: impl Future<Output = T>,
    activity: &ConnectionActivity,
    end: &CancellationToken,
) -> Option<T> {
    tokio::select! {
        output = future => Some(output),
        () = activity.closed() => None,
        () = end.cancelled() => None,
    }
}

async fn serve_http(
    stream: impl Stream,
    http2: bool,
    handler: RequestHandler,
    header_timeout: Duration,
    end: CancellationToken,
) -> hyper::Result<()> {
    match http2 {
        // Boxed, because its future is the larger one and most connections speak HTTP/1.1.
        true => Box::pin(http2::serve(stream, handler, header_timeout, end)).await,
        false => http1::serve(stream, handler, header_timeout, end).await,
    }
}

/// Whether the peer begins with the preface of HTTP/2. Peeks at the first bytes and leaves them in the socket: an HTTP/1.1
/// connection that is upgraded has to be the TCP stream itself, without a wrapper that has read ahead.
async fn is_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; HTTP2_PREFACE.len()];
    let mut delay = Duration::from_millis(1);
    loop {
        let seen = match stream.peek(&mut start).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            seen => &start[..seen],
        };
        if seen == HTTP2_PREFACE || !HTTP2_PREFACE.starts_with(seen) {
            return Ok(seen == HTTP2_PREFACE);
        }
        // The bytes that stay in the socket keep it readable, so readiness would not tell of more. A preface almost never
        // comes in pieces; against a peer that drips one, the delay doubles with each look.
        sleep(delay).await;
        delay *= 2;
    }
}

/// Keeps a value alive until the response's body is dropped.
fn keep_until_sent<T>(
    response: Response,
    value: T,
) -> Response<impl HttpBody<Data = Bytes, Error = axum::Error>> {
    response.map(|body| {
        body.map_frame(move |frame| {
            let _ = &value;
            frame
        })
    })
}
