//! Tests of open mode.

use super::*;

#[test]
fn a_guest_is_known_by_its_id_and_nobody_else_is_taken_for_one() {
    assert!(is_guest(&UserId::parse(&guest_id()).unwrap()));
    for other in [
        "alice",
        "guest-",
        "guest-abcde",
        "guest-abcdefg",
        "guest-ABCDEF",
        "guest-äää",
    ] {
        assert!(!is_guest(&UserId::parse(other).unwrap()), "{other}");
    }
}
