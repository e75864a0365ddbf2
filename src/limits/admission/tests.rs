use super::*;

#[test]
fn addresses_are_counted_by_network_and_loopback_only_in_all() {
    let admission = Admission::new(3, 1, 0);
    let admit = |address| admission.admit(address, Holder::address(address));
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
fn one_address_leaves_handshakes_to_others_and_those_that_are_over_do_not_count() {
    let admission = Admission::new(0, 0, 32);
    let local = |last| IpAddr::from([127, 0, 0, last]);
    let admit = |last| admission.admit(local(last), Holder::address(local(last)));
    let mut held: Vec<_> = (0..16).map(|_| admit(1).unwrap()).collect();
    assert_eq!(admit(1).unwrap_err(), Limit::Handshakes);
    held.push(admit(2).unwrap());
    held.iter().take(2).for_each(Admitted::established);
    held.push(admit(1).unwrap());
    assert_eq!(admission.handshakes().used(), 16);
}
