//! Hosts and origins as browsers and proxies write them, parsed so that they can be compared.

use std::net::{IpAddr, Ipv6Addr};

/// A host: a name in lower case without the dot at its end, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        // The root of the domain names, said or not.
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Some(address) = parse_address(name) {
            return Some(Host::Address(address));
        }
        let fits = |c: char| !c.is_whitespace() && !c.is_control() && !"/?#@[]\\,;\"".contains(c);
        let named = !name.is_empty() && !name.ends_with('.');
        (named && name.chars().all(fits)).then(|| Host::Name(name.to_ascii_lowercase()))
    }

    /// Whether this is the machine itself and nothing else. Names below `.localhost` are kept for that (RFC 6761).
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Address(address) => address.is_loopback(),
        }
    }
}

/// Reads an address; one of IPv4 that is written as IPv6 is the same, and a zone counts for nothing.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.split('%').next().unwrap_or(text);
    text.parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

/// Takes `host[:port]` apart, where a host of IPv6 may stand in brackets; it has to if there is a port.
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

/// The origin of a page that came over HTTP; its port is known, because that of the scheme need not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WebOrigin {
    pub(super) secure: bool,
    pub(super) host: Host,
    pub(super) port: u16,
}

impl WebOrigin {
    /// Reads an `Origin`; `None` for one of another scheme.
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

    /// Whether its port is that of its scheme.
    pub(super) fn has_default_port(&self) -> bool {
        self.port == default_port(self.secure)
    }
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_is_the_same_however_it_is_written() {
        let same = [
            vec![
                "chat.example",
                "CHAT.example",
                "chat.example.",
                " chat.example:",
            ],
            vec!["::1", "[::1]", "[0:0::1]", "[::1]:"],
            vec!["127.0.0.1", "[::ffff:127.0.0.1]", "::ffff:127.0.0.1"],
            vec!["fe80::1", "[fe80::1%25eth0]", "fe80::1%eth0"],
        ];
        for texts in &same {
            for text in texts {
                assert_eq!(HostPort::parse(text), HostPort::parse(texts[0]), "{text}");
                assert!(HostPort::parse(text).is_some(), "{text}");
            }
        }
        assert_eq!(HostPort::parse("[::1]:3000").unwrap().port, Some(3000));
        for bad in [
            "", ".", ":80", "[::1", "[::1]x", "a:b", "a:70000", "a b", "a/b", "u@a", "a,b",
        ] {
            assert_eq!(HostPort::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_default_port_of_an_origin_need_not_be_written() {
        for (one, other, same) in [
            ("https://a.example", "HTTPS://A.example:443", true),
            ("http://a.example", "http://a.example:80", true),
            ("http://a.example", "https://a.example", false),
            ("https://a.example", "https://a.example:8443", false),
        ] {
            assert_eq!(
                WebOrigin::parse(one) == WebOrigin::parse(other),
                same,
                "{one} {other}"
            );
        }
        for other in [
            "null",
            "file://",
            "capacitor://localhost",
            "https://",
            "a.example",
            "http://a/b",
        ] {
            assert_eq!(WebOrigin::parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        let loopback = |text: &str| HostPort::parse(text).unwrap().host.is_loopback();
        for name in [
            "localhost",
            "LOCALHOST.:5173",
            "app.localhost",
            "127.1.2.3",
            "[::1]:3000",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(loopback(name), "{name}");
        }
        for name in [
            "localhost.evil.example",
            "xlocalhost",
            "10.0.0.1",
            "[::2]",
            "0.0.0.0",
            "127.0.0.1.evil.example",
        ] {
            assert!(!loopback(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_was_parsed_is_written_and_read_again_as_the_same(
            host in prop_oneof!["[a-zA-Z0-9._-]{1,20}", any::<Ipv6Addr>().prop_map(|it| format!("[{it}]")), any::<std::net::Ipv4Addr>().prop_map(|it| it.to_string())],
            port in any::<Option<u16>>(),
        ) {
            let written = port.map_or(host.clone(), |port| format!("{host}:{port}"));
            if let Some(parsed) = HostPort::parse(&written) {
                prop_assert_eq!(parsed.port, port);
                let again = match &parsed.host {
                    Host::Name(name) => name.clone(),
                    Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
                    Host::Address(address) => address.to_string(),
                };
                prop_assert_eq!(HostPort::parse(&again).map(|it| it.host), Some(parsed.host));
            }
        }

        #[test]
        fn no_text_is_too_strange_to_be_read(text in "\\PC{0,40}") {
            let _ = HostPort::parse(&text);
            let _ = WebOrigin::parse(&text);
        }
    }
}
