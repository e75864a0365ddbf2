//! Hosts and origins as browsers and proxies write them, parsed and normalized for comparison.

use std::net::{IpAddr, Ipv6Addr};

/// A host: a name in lower case without a trailing dot, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        // A trailing dot is the DNS root, which may be left out.
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Some(address) = parse_address(name) {
            return Some(Host::Address(address));
        }
        let fits = |c: char| !c.is_whitespace() && !c.is_control() && !"/?#@[]\\,;\"".contains(c);
        let named = !name.is_empty() && !name.ends_with('.');
        (named && name.chars().all(fits)).then(|| Host::Name(name.to_ascii_lowercase()))
    }

    /// Whether this is always the machine itself. Names below `.localhost` are reserved for that (RFC 6761).
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Address(address) => address.is_loopback(),
        }
    }
}

/// Parses an address. An IPv4 address written as IPv6 becomes IPv4; a zone is ignored.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.split('%').next().unwrap_or(text);
    text.parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

/// Splits `host[:port]`. An IPv6 address may be in brackets, and has to be if there is a port.
pub(super) fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    let bare = text.split('%').next().unwrap_or(text);
    if bare.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

/// `host[:port]`, as in the header `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPort {
    pub(super) host: Host,
    pub(super) port: Option<u16>,
}

impl HostPort {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = split_port(text)?;
        Some(Self {
            host: Host::parse(host)?,
            port: match port {
                None | Some("") => None,
                Some(port) => Some(port.parse().ok()?),
            },
        })
    }
}

/// The origin of a page that was loaded over HTTP; the port defaults to that of the scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WebOrigin {
    pub(super) secure: bool,
    pub(super) host: Host,
    pub(super) port: u16,
}

impl WebOrigin {
    /// Parses an `Origin`; `None` for another scheme.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let secure = match () {
            () if scheme.eq_ignore_ascii_case("https") => true,
            () if scheme.eq_ignore_ascii_case("http") => false,
            () => return None,
        };
        let HostPort { host, port } = HostPort::parse(rest)?;
        Some(Self {
            secure,
            host,
            port: port.unwrap_or_else(|| default_port(secure)),
        })
    }

    /// Whether its port is the default of its scheme.
    pub(super) fn has_default_port(&self) -> bool {
        self.port == default_port(self.secure)
    }
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

#[cfg(test)]
mod tests;
