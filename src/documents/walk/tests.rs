//! Walking updates and state vectors.

use proptest::prelude::*;

use super::{
    super::{
        history::{Edit, history},
        merge::merge,
    },
    *,
};

#[test]
fn an_update_that_says_nothing_is_empty() {
    assert!(check_update(&[0, 0]).unwrap().is_empty());
    let facts = check_update(b"\x01\x01\x05\x00\x04\x01\x01t\x02ab\x01\x05\x01\x00\x01").unwrap();
    assert_eq!((facts.structs, facts.deletes), (1, 1));
    assert!(!facts.is_empty());
}

#[test]
fn structs_that_say_nothing_are_accepted_and_go_when_merged() {
    let update = b"\x01\x03\x05\x00\x04\x01\x01t\x00\x04\x01\x01t\x02ab\x88\x07\x00\x00\x00";
    let facts = check_update(update).unwrap();
    assert_eq!((facts.structs, facts.empty_structs), (1, 2));
    let merged = merge(&[update]).unwrap();
    assert_eq!(merged, b"\x01\x01\x05\x00\x04\x01\x01t\x02ab\x00");
    assert!(
        check_update(b"\x01\x01\x05\x00\x04\x01\x01t\x00\x00")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn wrong_updates_are_refused() {
    for update in [
        &[][..],
        &[0],
        &[0, 0, 0],
        &[1, 0],
        &[0xff, 0xff, 0x03, 0],
        // Two sections of one client.
        &[2, 1, 5, 0, 0, 1, 1, 5, 1, 0, 1, 0],
        // A client id of more than 53 bits.
        &[
            1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0,
        ],
    ] {
        assert!(check_update(update).is_err(), "{update:?}");
    }
}

#[test]
fn state_vectors_are_walked() {
    assert!(check_state_vector(&[0]).is_ok());
    assert_eq!(
        parse_state_vector(&[3, 9, 2, 5, 1, 9, 4]),
        Ok(vec![(5, 1), (9, 4)])
    );
    for wrong in [&[][..], &[1, 5], &[1, 5, 1, 0], &[0xff, 0x7f, 0, 0]] {
        assert!(check_state_vector(wrong).is_err(), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>) {
        let _ = check_update(&bytes);
        let _ = check_state_vector(&bytes);
    }

    #[test]
    fn updates_of_documents_are_accepted(edits in prop::collection::vec(any::<Edit>(), 1..40)) {
        for update in history(&edits) {
            prop_assert!(check_update(&update).is_ok(), "{update:?}");
            for end in 0..update.len() {
                prop_assert!(check_update(&update[..end]).is_err());
            }
        }
    }
}
