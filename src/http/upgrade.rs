//! WebSocket upgrades: checks the request, writes the 101 response, and splits the upgraded stream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tungstenite::handshake::derive_accept_key;

use super::tls::TlsConnection;
use crate::error::{Error, Result};

/// The reading half of an upgraded connection.
pub(crate) type StreamReader = Box<dyn AsyncRead + Send + Unpin>;

/// The writing half of an upgraded connection.
pub(crate) type StreamWriter = Box<dyn AsyncWrite + Send + Unpin>;

/// Splits an upgraded connection. What hyper needed for it, above all its buffer, is freed.
pub(crate) fn split_upgraded(upgraded: Upgraded) -> (StreamReader, StreamWriter) {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return split_tcp(parts.io, parts.read_buf),
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TlsConnection>>() {
        Ok(parts) => return split_tls(parts.io, parts.read_buf),
        Err(upgraded) => upgraded,
    };
    // Of `axum::serve`, which detects the version of HTTP.
    match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => split_tcp(parts.io, parts.read_buf),
        Err(upgraded) => {
            let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
            (Box::new(reader), Box::new(writer))
        }
    }
}

fn split_tcp(stream: TokioIo<TcpStream>, read: Bytes) -> (StreamReader, StreamWriter) {
    let (reader, writer) = stream.into_inner().into_split();
    (prefixed(read, reader), Box::new(writer))
}

fn split_tls(stream: TokioIo<TlsConnection>, read: Bytes) -> (StreamReader, StreamWriter) {
    let (reader, writer) = tokio::io::split(stream.into_inner());
    (prefixed(read, reader), Box::new(writer))
}

/// A client may have sent its first frames without waiting for the response: those are `read` already.
fn prefixed(read: Bytes, reader: impl AsyncRead + Send + Unpin + 'static) -> StreamReader {
    match read.is_empty() {
        true => Box::new(reader),
        false => Box::new(PrefixedReader {
            prefix: read,
            reader,
        }),
    }
}

/// Reads what has been read already, then the stream. What was read is a slice of hyper's buffer, and is released at its end.
struct PrefixedReader<R> {
    prefix: Bytes,
    reader: R,
}

impl<R: AsyncRead + Unpin> AsyncRead for PrefixedReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.reader).poll_read(context, buffer);
        }
        drain_into(&mut self.prefix, buffer);
        Poll::Ready(Ok(()))
    }
}

/// Moves bytes into `buffer`, as many as it has room for. Emptied, they give their memory back.
pub(crate) fn drain_into<B: Buf + Default>(bytes: &mut B, buffer: &mut ReadBuf<'_>) {
    let moved = bytes.chunk().len().min(buffer.remaining());
    buffer.put_slice(&bytes.chunk()[..moved]);
    bytes.advance(moved);
    if !bytes.has_remaining() {
        *bytes = B::default();
    }
}

/// What the response to an accepted upgrade needs.
pub(crate) struct AcceptedUpgrade {
    key: HeaderValue,
    subprotocol: Option<HeaderValue>,
}

/// Checks that a request is an upgrade to a WebSocket.
///
/// # Errors
/// `bad_request`: it is not one of version 13, or offers a malformed subprotocol.
pub(crate) fn accept_upgrade<B>(request: &Request<B>) -> Result<AcceptedUpgrade> {
    let headers = request.headers();
    let lists = |name, word: &str| {
        // A proxy may have added its value in a header line of its own.
        let mut lines = headers.get_all(name).iter();
        lines.any(|line| {
            let mut parts = line.to_str().unwrap_or_default().split(',');
            parts.any(|part| part.trim().eq_ignore_ascii_case(word))
        })
    };
    let is_upgrade = request.method() == Method::GET
        && lists(header::UPGRADE, "websocket")
        && lists(header::CONNECTION, "upgrade")
        && lists(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|_| is_upgrade)
        .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok())
        .ok_or_else(|| Error::bad_request("a WebSocket upgrade (version 13) is expected here"))?;
    Ok(AcceptedUpgrade {
        key,
        subprotocol: first_subprotocol(headers)?,
    })
}

/// The first subprotocol that a client offers: browsers fail a WebSocket whose server accepts none of theirs. What it means,
/// a token for instance, is up to the application and its client.
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
            let valid = name.len() <= MAX_SUBPROTOCOL_BYTES && name.bytes().all(is_token);
            let name = HeaderValue::from_str(name).ok().filter(|_| valid);
            return name.map(Some).ok_or_else(malformed);
        }
    }
    Ok(None)
}

/// Longest subprotocol: some clients put a token there.
const MAX_SUBPROTOCOL_BYTES: usize = 4096;

/// Whether a byte is allowed in a token (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The response that makes the connection a WebSocket: 101 Switching Protocols.
pub(crate) fn switching_protocols(accepted: AcceptedUpgrade) -> Response {
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
