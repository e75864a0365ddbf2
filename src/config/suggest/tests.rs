//! Suggestions for misspelt names.

use super::*;

#[test]
fn a_misspelt_name_has_a_suggestion_and_an_unrelated_one_has_none() {
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
fn an_ambiguous_name_has_no_suggestion() {
    let options = ["a.burst", "b.burst"].map(String::from);
    assert_eq!(suggest("burst", &options, '.'), None);
}
