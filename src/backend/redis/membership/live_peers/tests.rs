//! Which nodes count as alive.

use super::*;

#[test]
fn a_stopping_node_is_not_alive_although_it_holds_a_lease() {
    let (peers, [one, two]) = (
        LivePeers::default(),
        [NodeId::generate(), NodeId::generate()],
    );
    peers.update_leases(vec![one, two], true);
    peers.mark_stopping(one);
    assert_eq!(peers.alive(), HashSet::from([two]));
    assert_eq!(peers.update_leases(vec![one, two], true), []);
    assert_eq!(peers.alive(), HashSet::from([two]));
    assert_eq!(peers.update_leases(vec![two], true), [one]);
}

#[test]
fn nodes_whose_leases_redis_has_lost_stay_alive_until_the_leases_are_confirmed() {
    let (peers, [one, two]) = (
        LivePeers::default(),
        [NodeId::generate(), NodeId::generate()],
    );
    peers.update_leases(vec![one], true);
    assert_eq!(peers.update_leases(vec![two], false), []);
    assert_eq!(peers.alive(), HashSet::from([one, two]));
    assert_eq!(peers.update_leases(vec![two], true), [one]);
    assert_eq!(peers.alive(), HashSet::from([two]));
    assert_eq!(peers.update_leases(vec![two], true), []);
}
