//! Who a request is counted for, behind proxies or not.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The address a request is counted for: the peer's, or what a trusted proxy says.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// The nearest address that is not a trusted proxy's, read from the end of `X-Forwarded-For`: what stands before it
/// anybody could have written.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let trusted = |address: IpAddr| {
        let address = address.to_canonical();
        proxies.iter().any(|proxy| proxy.contains(&address))
    };
    if !trusted(peer) {
        return peer;
    }
    let mut client = peer;
    let said = headers.get_all("x-forwarded-for").into_iter().rev();
    for value in said {
        let Ok(value) = value.to_str() else {
            return client;
        };
        for text in value.rsplit(',') {
            let Ok(address) = text.trim().parse() else {
                return client;
            };
            client = address;
            if !trusted(address) {
                return client;
            }
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_nearest_address_that_is_no_trusted_proxy() {
        let proxies = [
            "10.0.0.0/8".parse().unwrap(),
            "127.0.0.1/32".parse().unwrap(),
        ];
        let address = |peer: &str, said: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            client_address(peer.parse().unwrap(), &headers, &proxies).to_string()
        };
        assert_eq!(address("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(
            address("127.0.0.1", &["6.6.6.6, 198.51.100.7, 10.1.1.1"]),
            "198.51.100.7"
        );
        assert_eq!(
            address("127.0.0.1", &["6.6.6.6", "198.51.100.7"]),
            "198.51.100.7"
        );
        assert_eq!(address("127.0.0.1", &["rubbish"]), "127.0.0.1");
        assert_eq!(address("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(
            address("::ffff:127.0.0.1", &["198.51.100.7"]),
            "198.51.100.7"
        );
    }
}
