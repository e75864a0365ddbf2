//! The address that a request is attributed to, behind proxies or not.

use std::net::{IpAddr, Ipv4Addr};

use http::{Extensions, HeaderMap};
use ipnet::IpNet;

use super::forwarded;
use crate::limits::Holder;

/// Where a request came from: an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress {
    /// The address that the request counts for.
    pub ip: IpAddr,
    /// Whether a trusted proxy passed the request on, so that what it says about the client is true.
    pub proxied: bool,
    /// Whether that proxy left out its client's address, and `ip` is the proxy's own.
    pub unknown: bool,
    /// Whether the client itself came over TLS: to this server, or to a proxy that passes its connection on and says so by the PROXY protocol.
    pub tls: bool,
}

impl ClientAddress {
    /// The address of a request that did not come over one of our connections.
    const UNKNOWN: Self = Self {
        ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        proxied: false,
        unknown: false,
        tls: false,
    };

    /// The nearest address that does not belong to a trusted proxy: entries before it could have been written by anybody.
    /// Entries that cannot be parsed are skipped.
    pub(super) fn of(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        let is_trusted = |address: &IpAddr| is_trusted_proxy(trusted_proxies, address);
        if !is_trusted(&peer) {
            return Self {
                ip: peer,
                proxied: false,
                unknown: false,
                tls: false,
            };
        }
        let forwarded = || forwarded::addresses(headers).into_iter().flatten();
        let client = forwarded().find(|address| !is_trusted(address));
        // Where all are proxies, the farthest of them made the request.
        let client = client.or_else(|| forwarded().last());
        Self {
            ip: client.unwrap_or(peer),
            proxied: true,
            unknown: client.is_none(),
            tls: false,
        }
    }
}

/// Whether a canonical address is a trusted proxy's.
pub(super) fn is_trusted_proxy(trusted_proxies: &[IpNet], address: &IpAddr) -> bool {
    trusted_proxies.iter().any(|proxy| proxy.contains(address))
}

/// Where a request came from.
pub fn client_address(extensions: &Extensions) -> ClientAddress {
    let address = extensions.get::<ClientAddress>().copied();
    address.unwrap_or(ClientAddress::UNKNOWN)
}

/// Who a request or its response is charged to: the identified caller, or the address that the request came from.
pub fn holder(extensions: &Extensions) -> Holder {
    let known = extensions.get::<Holder>().cloned();
    known.unwrap_or_else(|| Holder::address(client_address(extensions).ip))
}

#[cfg(test)]
mod tests;
