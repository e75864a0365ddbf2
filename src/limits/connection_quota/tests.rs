//! Quotas of connections and handshakes.

use super::*;

#[test]
fn an_ipv6_network_is_one_address_and_loopback_counts_towards_the_total_only() {
    let quota = ConnectionQuota::new(3, 1, 0);
    let admit = |address| quota.admit(address, Holder::address(address));
    let one: IpAddr = "2001:db8::1".parse().unwrap();
    let same_network: IpAddr = "2001:db8::2".parse().unwrap();
    let held = admit(one).unwrap();
    assert_eq!(admit(same_network).unwrap_err(), Limit::ConnectionsPerIp);
    let local: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
    let _two = (admit(local).unwrap(), admit(local).unwrap());
    assert_eq!(admit(local).unwrap_err(), Limit::Connections);
    drop(held);
    assert!(admit(same_network).is_ok());
}

#[test]
fn an_address_has_its_share_of_handshakes_and_complete_ones_do_not_count() {
    let quota = ConnectionQuota::new(0, 0, 32);
    let local = |last| IpAddr::from([127, 0, 0, last]);
    let admit = |last| quota.admit(local(last), Holder::address(local(last)));
    let mut held: Vec<_> = (0..16).map(|_| admit(1).unwrap()).collect();
    assert_eq!(admit(1).unwrap_err(), Limit::Handshakes);
    held.push(admit(2).unwrap());
    held.iter()
        .take(2)
        .for_each(ConnectionPermit::complete_handshake);
    held.push(admit(1).unwrap());
    assert_eq!(quota.handshakes().used(), 16);
}
