//! Suggestions for misspelt names.

use super::*;

#[test]
fn a_slip_of_the_hand_is_noticed_and_a_stranger_is_not() {
    let options = ["listen", "node", "limits.message_bytes", "socketio.path"].map(String::from);
    for (name, meant) in [
        ("lisen", Some("listen")),
        ("limit.message_bytes", Some("limits.message_bytes")),
        ("limits.mesage_byte", Some("limits.message_bytes")),
        ("message_bytes", Some("limits.message_bytes")),
        ("port", None),
        ("colour", None),
    ] {
        assert_eq!(suggest(name, &options, '.').as_deref(), meant, "{name}");
    }
}

#[test]
fn a_name_that_could_be_several_suggests_none() {
    let options = ["a.burst", "b.burst"].map(String::from);
    assert_eq!(suggest("burst", &options, '.'), None);
}
