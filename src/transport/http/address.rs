//! Who a request is counted for, behind proxies or not.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use super::forwarded;

/// Where a request came from: an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress {
    /// The address it is counted for.
    pub ip: IpAddr,
    /// Whether a trusted proxy passed it on, so that what it says about the way here is true.
    pub proxied: bool,
    /// Whether that proxy left its client's address out, and `ip` is its own.
    pub unknown: bool,
}

impl ClientAddress {
    /// That of a request which came by no connection of ours.
    pub(in crate::transport) const UNKNOWN: Self = Self {
        ip: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        proxied: false,
        unknown: false,
    };

    /// The nearest address that is not a trusted proxy's: what stands before it anybody could have written. Entries that
    /// cannot be read are passed over.
    pub(super) fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        let trusted = |address: &IpAddr| proxies.iter().any(|proxy| proxy.contains(address));
        if !trusted(&peer) {
            return Self {
                ip: peer,
                proxied: false,
                unknown: false,
            };
        }
        let said = || forwarded::addresses(headers).into_iter().flatten();
        let client = said().find(|address| !trusted(address));
        // Where all are proxies the farthest of them asks for itself.
        let client = client.or_else(|| said().last());
        Self {
            ip: client.unwrap_or(peer),
            proxied: true,
            unknown: client.is_none(),
        }
    }
}

#[cfg(test)]
mod tests;
