//! From a request to a WebSocket's stream: what HTTP has to say about it, and its two halves.

use std::io::Cursor;

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
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

/// How an upgrade to a WebSocket is answered.
pub(super) struct Accepted {
    key: HeaderValue,
    subprotocol: Option<HeaderValue>,
}

/// The answer to a request, if it is a proper upgrade.
pub(super) fn accept_key<B>(request: &Request<B>) -> Result<Accepted> {
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
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|_| proper)
        .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok())
        .ok_or_else(|| Error::bad_request("a WebSocket upgrade (version 13) is expected here"))?;
    Ok(Accepted {
        key,
        subprotocol: first_subprotocol(headers)?,
    })
}

/// The first subprotocol that a client offers: browsers give up a WebSocket whose server accepts none of theirs. What it
/// means, a token for instance, is between the application and its client.
fn first_subprotocol(headers: &HeaderMap) -> Result<Option<HeaderValue>> {
    let malformed =
        || Error::bad_request("the header sec-websocket-protocol is not a list of tokens");
    for offered in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        let offered = offered.to_str().map_err(|_| malformed())?;
        let first = offered
            .split(',')
            .map(str::trim)
            .find(|name| !name.is_empty());
        if let Some(name) = first {
            let sound = name.len() <= SUBPROTOCOL && name.bytes().all(is_token);
            let name = HeaderValue::from_str(name).ok().filter(|_| sound);
            return name.map(Some).ok_or_else(malformed);
        }
    }
    Ok(None)
}

/// Bytes of a subprotocol: some clients put a token there.
const SUBPROTOCOL: usize = 4096;

/// Whether a byte may stand in a token of HTTP.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The answer that makes the connection a WebSocket.
pub(super) fn switching(accepted: Accepted) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted.key);
    if let Some(subprotocol) = accepted.subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response
}

#[cfg(test)]
mod tests;
