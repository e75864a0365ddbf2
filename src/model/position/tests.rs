//! Offsets, cursors and positions as text.

use super::*;

#[test]
fn a_formatted_offset_parses_and_no_other_text_does() {
    assert_eq!(Offset::parse(&Offset(42).to_string()), Some(Offset(42)));
    for bad in [
        "",
        "7",
        "~",
        "+7~",
        "-7~",
        "7~ ",
        " 7~",
        "x~",
        "99999999999999999999~",
    ] {
        assert_eq!(Offset::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn a_formatted_cursor_parses_and_is_not_a_position() {
    let cursor = Cursor {
        incarnation: Incarnation::generate(),
        offset: Offset(42),
        ts: Timestamp(1_711_000_000_123),
    };
    assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor.clone()));
    assert!(Position::parse(&cursor.to_string()).is_err());
    for bad in [
        "", "a~7", "~7~7", "a~7~", "a~7~7~", "a~+7~7", "a~7~x", "a:7",
    ] {
        assert_eq!(Cursor::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn a_formatted_position_parses_to_the_same() {
    let position = Position {
        epoch: Epoch::generate(),
        seq: Seq(42),
    };
    assert_eq!(
        Position::parse(&position.to_string()).expect("round trip"),
        position
    );
    for bad in ["", "7", ":7", "abc", "abc:", "abc:-1", "abc:x"] {
        assert!(Position::parse(bad).is_err(), "{bad:?}");
    }
}
