//! The PROXY protocol, versions 1 and 2: a proxy that passes TCP connections on says first whose they are.
//!
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>

use std::{io, net::SocketAddr, time::Duration};

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

/// The maximum bytes of a header of version 1, a line of text.
const MAX_LINE: usize = 107;

/// The shortest header of version 1, `PROXY UNKNOWN` and the end of the line. Nothing behind a header may be read with it.
const MIN_LINE: usize = 15;

/// What precedes the addresses in version 2: the signature, the version with the command, the family, and a length in two bytes.
const PREFIX: usize = 16;

/// The maximum bytes of a header of version 2. Addresses take 36, and what proxies add to them a few hundred.
const MAX_BINARY: usize = 4096;

/// How version 2 begins. Its signature is longer, but nothing else that a client may begin with shares its first byte.
const BINARY: u8 = b'\r';

/// The header of a request of the proxy's own, such as a health check: `LOCAL`, without addresses.
pub(crate) const LOCAL: [u8; PREFIX] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

const CONFIG: ParseConfig = ParseConfig {
    include_tlvs: true,
    allow_v1: true,
    allow_v2: true,
};

/// A client whose connection a proxy passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProxiedClient {
    pub(super) address: SocketAddr,
    /// Whether it came over TLS to the proxy.
    pub(super) tls: bool,
}

/// Reads the header that a connection has to begin with, and nothing behind it. `None`: the proxy speaks for itself, or knows no address.
///
/// # Errors
/// The peer sends no header, one that is malformed or too long, or takes longer than `within`.
pub(super) async fn read(
    stream: &mut TcpStream,
    within: Duration,
) -> io::Result<Option<ProxiedClient>> {
    timeout(within, read_header(stream)).await?
}

async fn read_header(stream: &mut TcpStream) -> io::Result<Option<ProxiedClient>> {
    let mut header = vec![0; MIN_LINE];
    stream.read_exact(&mut header).await?;
    if header[0] == BINARY {
        read_binary(stream, &mut header).await?;
    } else if header.starts_with(b"PROXY ") {
        read_line(stream, &mut header).await?;
    }
    parse(&header)
}

/// Reads the rest of a header of version 2.
async fn read_binary(stream: &mut TcpStream, header: &mut Vec<u8>) -> io::Result<()> {
    header.push(stream.read_u8().await?);
    let rest = u16::from_be_bytes([header[PREFIX - 2], header[PREFIX - 1]]);
    let length = PREFIX + usize::from(rest);
    if length > MAX_BINARY {
        return Err(malformed("has too many bytes"));
    }
    header.resize(length, 0);
    stream.read_exact(&mut header[PREFIX..]).await?;
    Ok(())
}

/// Reads the rest of a header of version 1. What follows its line is the client's and stays in the socket.
async fn read_line(stream: &mut TcpStream, header: &mut Vec<u8>) -> io::Result<()> {
    let mut next = [0; MAX_LINE];
    while !header.ends_with(b"\n") {
        let room = &mut next[..MAX_LINE - header.len()];
        if room.is_empty() {
            return Err(malformed("has too many bytes"));
        }
        let seen = match stream.peek(room).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            seen => &room[..seen],
        };
        let end = seen.iter().position(|byte| *byte == b'\n');
        let part = end.map_or(seen.len(), |end| end + 1);
        let read = stream.read_exact(&mut room[..part]).await?;
        header.extend_from_slice(&room[..read]);
    }
    Ok(())
}

fn parse(header: &[u8]) -> io::Result<Option<ProxiedClient>> {
    let parsed = ProxyHeader::parse(header, CONFIG);
    let (parsed, _) = parsed.map_err(|_| malformed("is missing or malformed"))?;
    let Some(proxied) = parsed.proxied_address() else {
        return Ok(None);
    };
    if proxied.protocol != Protocol::Stream {
        return Err(malformed("is not for TCP"));
    }
    Ok(Some(ProxiedClient {
        address: proxied.source,
        tls: parsed.ssl().is_some_and(|ssl| ssl.client_ssl()),
    }))
}

fn malformed(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the header {how}"))
}

#[cfg(test)]
mod tests;
