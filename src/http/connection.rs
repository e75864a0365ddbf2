//! One TCP connection: which version of HTTP it speaks, and how long it may stay silent.
//!
//! HTTP/2 comes without TLS, and so by prior knowledge: proxies and back ends begin with its preface. Everything that one
//! connection can make the server hold is bounded here.

mod http1;
mod http2;
mod request_handler;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::HttpBody, response::Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::request_handler::RequestHandler;
use super::{ServerConfig, idle::ConnectionActivity, response_memory::PendingResponses};

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

/// Serves a connection until its peer closes it, it stays silent for too long, or `end` is cancelled.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    config: ServerConfig,
    context: ConnectionContext,
    end: CancellationToken,
) {
    // Small frames are the rule here; waiting to fill a segment would only add latency.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(config.tcp_user_timeout));
    let header_timeout = config.header_timeout;
    let detected = tokio::select! {
        detected = timeout(header_timeout, is_http2(&stream)) => detected,
        () = context.activity.closed() => return,
        () = end.cancelled() => return,
    };
    let Ok(Ok(http2)) = detected else {
        return; // the peer closed it, or sent nothing
    };
    let handler = RequestHandler::new(router, peer.ip(), config, context);
    let result = match http2 {
        // Boxed, because its future is the larger one and most connections speak HTTP/1.1.
        true => Box::pin(http2::serve(stream, handler, header_timeout, end)).await,
        false => http1::serve(stream, handler, header_timeout, end).await,
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "HTTP connection failed");
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
