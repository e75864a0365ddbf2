//! Where the server is, and from which addresses clients connect to it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    str::FromStr,
};

/// Connections that one source address has ports for: Linux picks them from 28,232.
const PORTS: usize = 25_000;
/// Connections for which one source address of loopback is used. Linux gives away every second port first, and searches for each
/// connection after that: a tenth as many connects a second.
const QUICK_PORTS: usize = 10_000;

/// An `http://` address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Host and port as the user wrote them, for `Host:`.
    pub(super) host: String,
    pub(super) socket: SocketAddr,
    /// The path before `/socket.io/`, `/ws` and `/events`, without a slash at its end.
    pub(super) prefix: String,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    #[error(
        "{0}: TLS is not supported: load the server over plain HTTP, behind whatever terminates TLS for it"
    )]
    Tls(String),
    #[error("{0}: expected an address such as http://127.0.0.1:3000")]
    Malformed(String),
    #[error("{0}: the host has no address: {1}")]
    Unresolved(String, std::io::Error),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(url.to_owned());
        let rest = match url.split_once("://") {
            Some(("http" | "ws", rest)) => rest,
            Some(("https" | "wss", _)) => return Err(AddressError::Tls(url.to_owned())),
            Some(_) => return Err(malformed()),
            None => url,
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.is_empty() || path.contains(['?', '#', ' ']) || host.contains([' ', '@', '?']) {
            return Err(malformed());
        }
        let has_port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
        let with_port = match has_port {
            true => host.to_owned(),
            false => format!("{}:80", host.trim_end_matches(':')),
        };
        let unresolved = |error| AddressError::Unresolved(url.to_owned(), error);
        let socket = with_port.to_socket_addrs().map_err(unresolved)?.next();
        Ok(Self {
            host: host.to_owned(),
            socket: socket.ok_or_else(malformed)?,
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }
}

impl Address {
    /// Whether the server runs on this machine, so that its process can be looked at.
    pub(super) fn is_local(&self) -> bool {
        self.socket.ip().is_loopback()
    }

    /// The addresses to connect from, in turns: as the user says, or several of loopback for many connections. None: the
    /// system chooses.
    pub(super) fn sources(&self, chosen: &[IpAddr], connections: usize) -> Vec<IpAddr> {
        if !chosen.is_empty() {
            return chosen.to_vec();
        }
        match self.socket.ip() {
            IpAddr::V4(ip) if ip.is_loopback() && connections > QUICK_PORTS => (1..)
                .take(connections.div_ceil(QUICK_PORTS).min(250))
                .map(|last| Ipv4Addr::new(127, 0, 0, last).into())
                .collect(),
            _ => Vec::new(),
        }
    }

    /// How many connections one source address can hold.
    pub(super) fn connections_per_source() -> usize {
        PORTS
    }
}

#[cfg(test)]
mod tests;
