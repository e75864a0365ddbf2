//! Hosts, ports and origins in all their spellings.

use proptest::prelude::*;

use super::*;

#[test]
fn spellings_of_a_host_are_equal() {
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
fn the_default_port_of_an_origin_is_implied() {
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
fn only_loopback_names_and_addresses_are_loopback() {
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
    fn a_parsed_host_survives_a_round_trip(
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
    fn parsing_never_panics(text in "\\PC{0,40}") {
        let _ = HostPort::parse(&text);
        let _ = WebOrigin::parse(&text);
    }
}
