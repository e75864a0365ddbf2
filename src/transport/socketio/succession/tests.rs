use std::sync::Arc;

use super::Succession;
use crate::{model::ConnectionId, sync::lock};

#[test]
fn a_connection_waits_for_the_one_before_with_its_id_and_leaves_nothing_behind() {
    let (succession, id) = (Arc::new(Succession::default()), ConnectionId::generate());
    let (first, none) = succession.enter(id);
    assert!(none.is_none());
    let (second, before) = succession.enter(id);
    let before = before.unwrap();
    assert!(!before.is_cancelled());
    drop(first);
    assert!(before.is_cancelled());
    // The end of the first has not removed the second.
    let (third, before) = succession.enter(id);
    assert!(!before.unwrap().is_cancelled());
    drop((second, third));
    assert!(lock(&succession.running).is_empty());
}
