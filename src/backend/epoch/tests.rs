use std::collections::HashSet;

use super::*;
use crate::backend::conformance::key;

#[test]
fn an_epoch_is_of_one_incarnation_namespace_room_and_count() {
    let [one, other] = ["one", "other"].map(Incarnation::from_text);
    let room = key("/", "r");
    let all = [
        derive(&one, &room, 0),
        derive(&one, &room, 1),
        derive(&other, &room, 0),
        derive(&one, &key("/", "s"), 0),
        derive(&one, &key("/r", "r"), 0),
    ];
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    assert_eq!(derive(&one, &room, 0), all[0]);
    assert_eq!(all[0].as_str().len(), 8);
}

#[test]
fn rooms_are_spread_over_all_counters() {
    let slots: HashSet<_> = (0..60_000)
        .map(|nth| slot(&key("/", &format!("r{nth}"))))
        .collect();
    assert_eq!(slots.len(), usize::from(SLOTS));
}
