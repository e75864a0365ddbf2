//! Requests and responses of HTTP/1.1, as far as servers of these protocols use it.

use std::{borrow::Cow, io, ops::Range};

/// The longest head of a response.
const MAX_HEAD: usize = 64 << 10;

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::load) struct Head {
    pub(in crate::load) status: u16,
    /// Bytes of the head itself.
    pub(in crate::load) bytes: usize,
    length: usize,
    chunked: bool,
    /// The connection ends with this response.
    pub(in crate::load) closes: bool,
}

/// A response: its head, its body, and its bytes in all.
type Response<'a> = (Head, Cow<'a, [u8]>, usize);

/// The head at the begin of `data`; `None` if it is not complete.
///
/// # Errors
/// It is none of HTTP.
pub(in crate::load) fn head(data: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = data.windows(4).position(|four| four == b"\r\n\r\n") else {
        let could_be = data.starts_with(b"HTTP/") || b"HTTP/".starts_with(data);
        return match could_be && data.len() < MAX_HEAD {
            true => Ok(None),
            false => Err(not_http()),
        };
    };
    let text = std::str::from_utf8(&data[..end]).map_err(|_| not_http())?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or_else(not_http)?;
    let mut head = Head {
        status,
        bytes: end + 4,
        length: 0,
        chunked: false,
        closes: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.length = value.parse().map_err(|_| not_http())?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            head.closes = value.eq_ignore_ascii_case("close");
        }
    }
    Ok(Some(head))
}

/// The response at the begin of `data`; `None` if it is not complete.
///
/// # Errors
/// It is none of HTTP.
pub(in crate::load) fn response(data: &[u8]) -> io::Result<Option<Response<'_>>> {
    let Some(head) = head(data)? else {
        return Ok(None);
    };
    if !head.chunked {
        let end = head.bytes + head.length;
        let body = data.get(head.bytes..end);
        return Ok(body.map(|body| (head, Cow::Borrowed(body), end)));
    }
    let (mut body, mut at) = (Vec::new(), head.bytes);
    while let Some((part, next)) = chunk(&data[at..])? {
        if part.is_empty() {
            return Ok(Some((head, Cow::Owned(body), at + next)));
        }
        body.extend_from_slice(&data[at..][part]);
        at += next;
    }
    Ok(None)
}

/// Where the data of the chunk at the begin of `data` is, and where the next chunk begins; `None` if it is not complete. An empty
/// one is the last.
///
/// # Errors
/// It is no chunk.
pub(in crate::load) fn chunk(data: &[u8]) -> io::Result<Option<(Range<usize>, usize)>> {
    let Some(line) = data.windows(2).position(|two| two == b"\r\n") else {
        return match data.len() > 100 {
            true => Err(not_http()),
            false => Ok(None),
        };
    };
    let size = std::str::from_utf8(&data[..line]).ok();
    let size = size.and_then(|text| {
        usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16).ok()
    });
    let begin = line + 2;
    let end = begin.saturating_add(size.ok_or_else(not_http)?);
    let next = end.saturating_add(2);
    Ok((data.len() >= next).then_some((begin..end, next)))
}

fn not_http() -> io::Error {
    io::Error::other("the server does not speak HTTP")
}

/// A request for something that has no body.
pub(in crate::load) fn get(host: &str, path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")
}

/// The begin of a request with a body of so many bytes.
pub(in crate::load) fn post(host: &str, path: &str, headers: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {length}\r\n{headers}\r\n"
    )
}

/// The header that carries a token.
pub(in crate::load) fn authorization(token: Option<&str>) -> String {
    token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    })
}
