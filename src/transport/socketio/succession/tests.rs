use std::sync::Arc;

use futures_util::FutureExt;

use super::{Place, Succession};
use crate::{model::ConnectionId, sync::lock};

fn waits(place: &Place) -> bool {
    place.predecessor_ended().now_or_never().is_none()
}

#[test]
fn a_connection_waits_for_the_one_before_with_its_id_and_leaves_nothing_behind() {
    let (succession, id) = (Arc::new(Succession::default()), ConnectionId::generate());
    let first = succession.enter(id);
    let other = succession.enter(ConnectionId::generate());
    assert!(!waits(&first) && !waits(&other));
    let second = succession.enter(id);
    assert!(waits(&second));
    drop(first);
    assert!(!waits(&second));
    // The end of the first has not removed the second.
    let third = succession.enter(id);
    assert!(waits(&third));
    drop((second, other, third));
    assert!(lock(&succession.0).is_empty());
}
