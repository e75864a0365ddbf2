//! Guest ids.

use super::*;

#[test]
fn only_generated_ids_are_guests() {
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
