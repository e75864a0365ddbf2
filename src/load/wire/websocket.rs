//! Frames of a WebSocket, as a client reads and writes them.

use std::io;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const LAST: u8 = 0x80;
const MASKED: u8 = 0x80;

/// A server's frame.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::load) enum Frame<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    /// Status and reason.
    Close(u16, &'a [u8]),
    /// What has nothing to say here.
    Other,
}

/// The first frame of `data` and its bytes, header included; `None` if it is not complete.
///
/// # Errors
/// It is in parts, or masked, which servers do not do to what is as short as this.
pub(in crate::load) fn parse(data: &[u8]) -> io::Result<Option<(Frame<'_>, usize)>> {
    let [first, second, rest @ ..] = data else {
        return Ok(None);
    };
    let opcode = first & 15;
    if first & LAST == 0 || opcode == 0 {
        return Err(io::Error::other("the server sends messages in parts"));
    }
    if second & MASKED != 0 {
        return Err(io::Error::other("the server masks its frames"));
    }
    let (header, length) = match (second, rest) {
        (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
        }
        (126 | 127, _) => return Ok(None),
        (short, _) => (2, u64::from(*short)),
    };
    let end = usize::try_from(length).map_or(usize::MAX, |length| length.saturating_add(header));
    let Some(payload) = data.get(header..end) else {
        return Ok(None);
    };
    let frame = match opcode {
        TEXT => Frame::Text(payload),
        PING => Frame::Ping(payload),
        CLOSE => match payload {
            [a, b, reason @ ..] => Frame::Close(u16::from_be_bytes([*a, *b]), reason),
            _ => Frame::Close(1005, &[]),
        },
        BINARY | PONG => Frame::Other,
        _ => {
            return Err(io::Error::other(
                "the server sends frames of an unknown kind",
            ));
        }
    };
    Ok(Some((frame, end)))
}

/// Writes a text frame behind `out`.
pub(in crate::load) fn write_text(out: &mut Vec<u8>, payload: &[u8]) {
    write(out, TEXT, payload);
}

/// Writes the answer to a ping behind `out`.
pub(in crate::load) fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write(out, PONG, payload);
}

/// Masked, as a client's frames have to be, but with zeros, which costs nothing: masks protect caches between browsers and
/// servers, and there are none here.
fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(LAST | opcode);
    match payload.len() {
        short @ 0..126 => out.push(MASKED | short as u8),
        medium @ 126..0x1_0000 => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// The request that makes a connection a WebSocket.
pub(in crate::load) fn upgrade(host: &str, path: &str, token: Option<&str>) -> String {
    // The key proves that the server speaks WebSocket, and that is not in doubt.
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: c3dpdGNoYm9hcmQgbG9hZA==\r\n{}\r\n",
        super::http::authorization(token)
    )
}
