//! The address of a client, behind trusted proxies and others.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn proxies() -> [IpNet; 2] {
    [
        "10.0.0.0/8".parse().unwrap(),
        "127.0.0.1/32".parse().unwrap(),
    ]
}

fn from(peer: &str, said: &[&str]) -> ClientAddress {
    let mut headers = HeaderMap::new();
    for value in said {
        headers.append("x-forwarded-for", value.parse().unwrap());
    }
    ClientAddress::of(peer.parse().unwrap(), &headers, &proxies())
}

#[test]
fn the_client_is_the_nearest_address_that_is_no_trusted_proxy() {
    for (peer, said, client) in [
        ("192.0.2.1", vec!["198.51.100.7"], "192.0.2.1"),
        (
            "127.0.0.1",
            vec!["6.6.6.6, 198.51.100.7, 10.1.1.1"],
            "198.51.100.7",
        ),
        ("127.0.0.1", vec!["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
        (
            "127.0.0.1",
            vec!["6.6.6.6, 198.51.100.7:1, unknown"],
            "198.51.100.7",
        ),
        ("::ffff:127.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", vec!["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
        ("127.0.0.1", vec!["rubbish"], "127.0.0.1"),
        ("127.0.0.1", vec![], "127.0.0.1"),
    ] {
        assert_eq!(from(peer, &said).ip.to_string(), client, "{peer} {said:?}");
    }
}

#[test]
fn a_proxy_without_readable_addresses_is_marked_unknown() {
    assert!(from("127.0.0.1", &["unknown"]).unknown);
    assert!(from("127.0.0.1", &[]).unknown);
    for known in [
        from("192.0.2.1", &[]),
        from("10.0.0.1", &["1.2.3.4"]),
        from("10.0.0.1", &["10.0.0.2"]),
    ] {
        assert!(!known.unknown, "{known:?}");
    }
}

/// One address in one of the forms that proxies write.
fn written(address: Ipv4Addr, form: u8) -> String {
    match form % 5 {
        0 => address.to_string(),
        1 => format!("{address}:8080"),
        2 => format!("[::ffff:{address}]:443"),
        3 => format!(" \"{address}\" "),
        _ => format!("unknown , {address}"),
    }
}

proptest! {
    #[test]
    fn spelling_and_headers_do_not_change_the_client(
        // Every other address is a proxy's.
        chain in proptest::collection::vec((any::<bool>(), any::<[u8; 3]>(), any::<u8>()), 0..8),
        standard in any::<bool>(),
    ) {
        let addresses: Vec<_> = chain
            .iter()
            .map(|(proxy, [a, b, c], _)| Ipv4Addr::new(if *proxy { 10 } else { 203 }, *a, *b, *c))
            .collect();
        let nearest = addresses.iter().rev().find(|address| address.octets()[0] != 10);
        let expected = nearest.or(addresses.first()).copied();
        let mut headers = HeaderMap::new();
        for (address, (_, _, form)) in addresses.iter().zip(&chain) {
            let (name, value) = match standard {
                true => ("forwarded", format!("proto=https;for=\"[::ffff:{address}]:{form}\"")),
                false => ("x-forwarded-for", written(*address, *form)),
            };
            headers.append(name, value.parse().unwrap());
        }
        let peer = Ipv4Addr::LOCALHOST;
        let client = ClientAddress::of(peer.into(), &headers, &proxies());
        prop_assert_eq!(client.ip, IpAddr::from(expected.unwrap_or(peer)));
        prop_assert_eq!(client.unknown, expected.is_none());
    }
}
