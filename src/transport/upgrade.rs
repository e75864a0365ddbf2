//! From a request to a WebSocket's stream: what HTTP has to say about it, and its two halves.

use std::io::Cursor;

use axum::{body::Body, response::Response};
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
};
use tungstenite::handshake::derive_accept_key;

use super::wire::Writer;
use crate::error::{Error, Result};

/// Where bytes come from.
pub(super) type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// What an upgraded connection is read from and written to. What HTTP needed of it, a buffer above all, is let go of.
pub(super) fn halves(upgraded: Upgraded) -> (Reader, Writer) {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let (reader, writer) = parts.io.into_inner().into_split();
            // A client may have sent its first frames without waiting for the answer.
            let reader: Reader = match parts.read_buf.is_empty() {
                true => Box::new(reader),
                false => Box::new(Cursor::new(parts.read_buf).chain(reader)),
            };
            (reader, Box::new(writer))
        }
        Err(upgraded) => {
            let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
            (Box::new(reader), Box::new(writer))
        }
    }
}

/// The answer to a WebSocket key, if the request is a proper upgrade.
pub(super) fn accept_key<B>(request: &Request<B>) -> Result<HeaderValue> {
    let headers = request.headers();
    let says = |name, word: &str| {
        // A proxy may have put what it adds into a line of its own.
        let mut lines = headers.get_all(name).iter();
        lines.any(|line| {
            let mut parts = line.to_str().unwrap_or_default().split(',');
            parts.any(|part| part.trim().eq_ignore_ascii_case(word))
        })
    };
    let proper = request.method() == Method::GET
        && says(header::UPGRADE, "websocket")
        && says(header::CONNECTION, "upgrade")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|_| proper)
        .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok())
        .ok_or_else(|| Error::bad_request("a WebSocket upgrade (version 13) is expected here"))
}

/// The answer that makes the connection a WebSocket.
pub(super) fn switching(accept: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}
