//! Addresses of servers.

use super::*;

#[test]
fn an_address_has_a_host_a_port_and_perhaps_a_path() {
    let address: Address = "http://127.0.0.1:3000".parse().unwrap();
    assert_eq!(address.socket, "127.0.0.1:3000".parse().unwrap());
    assert_eq!(
        (address.host.as_str(), address.prefix.as_str()),
        ("127.0.0.1:3000", "")
    );
    assert!(address.is_local());
    let address: Address = "ws://127.0.0.1/realtime/".parse().unwrap();
    assert_eq!(
        (address.socket.port(), address.prefix.as_str()),
        (80, "/realtime")
    );
    let address: Address = "[::1]:4000".parse().unwrap();
    assert_eq!(address.socket, "[::1]:4000".parse().unwrap());
}

#[test]
fn what_is_no_address_is_refused_with_what_to_do() {
    let refused = |url: &str| url.parse::<Address>().unwrap_err().to_string();
    assert!(refused("https://example.com").contains("TLS is not supported"));
    assert!(refused("wss://example.com").contains("plain HTTP"));
    for url in [
        "",
        "ftp://a",
        "http://",
        "http://a b:1",
        "http://127.0.0.1:3000/?a=b",
    ] {
        assert!(
            refused(url).contains("such as http://127.0.0.1:3000"),
            "{url}"
        );
    }
}

#[test]
fn many_connections_come_from_several_addresses_of_loopback() {
    let local: Address = "http://127.0.0.1:3000".parse().unwrap();
    assert!(local.sources(&[], 10_000).is_empty());
    assert_eq!(local.sources(&[], 100_000).len(), 10);
    let chosen = ["127.0.0.9".parse().unwrap()];
    assert_eq!(local.sources(&chosen, 100_000), chosen);
    let remote: Address = "http://192.0.2.1:3000".parse().unwrap();
    assert!(remote.sources(&[], 100_000).is_empty() && !remote.is_local());
}
