//! Seen numbers against a plain set.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn a_number_is_new_once_in_whatever_order_it_comes() {
    let mut seen = SeenNumbers::default();
    seen.begin_at(10);
    assert!(!seen.insert(10));
    assert!(seen.insert(13));
    assert!(seen.insert(11));
    assert_eq!(seen.contiguous(), 11);
    assert!(!seen.insert(13));
    assert!(seen.insert(12));
    assert_eq!(seen.contiguous(), 13);
    seen.begin_at(5);
    assert_eq!(seen.contiguous(), 13);
}

proptest! {
    #[test]
    fn what_was_seen_is_what_a_set_remembers(
        steps in prop::collection::vec((any::<bool>(), 1..40u64), 0..80),
    ) {
        let (mut seen, mut model) = (SeenNumbers::default(), BTreeSet::new());
        for (begins, number) in steps {
            if begins {
                seen.begin_at(number);
                model.extend(1..=number);
            } else {
                prop_assert_eq!(seen.insert(number), model.insert(number));
            }
            let contiguous = (1..).take_while(|number| model.contains(number)).last();
            prop_assert_eq!(seen.contiguous(), contiguous.unwrap_or(0));
        }
    }
}
