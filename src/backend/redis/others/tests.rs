use super::*;

#[test]
fn a_node_that_stops_is_not_waited_for_though_its_lease_goes_on() {
    let (others, [one, two]) = (Others::default(), [NodeId::fresh(), NodeId::fresh()]);
    others.have_leases(vec![one, two], true);
    others.part(one);
    assert_eq!(others.living(), HashSet::from([two]));
    others.have_leases(vec![one, two], true);
    assert_eq!(others.living(), HashSet::from([two]));
}

#[test]
fn nodes_whose_leases_are_lost_with_redis_are_waited_for_until_they_had_the_time_to_take_them_again()
 {
    let (others, [one, two]) = (Others::default(), [NodeId::fresh(), NodeId::fresh()]);
    others.have_leases(vec![one], true);
    others.have_leases(vec![two], false);
    assert_eq!(others.living(), HashSet::from([one, two]));
    others.have_leases(vec![two], true);
    assert_eq!(others.living(), HashSet::from([two]));
}
