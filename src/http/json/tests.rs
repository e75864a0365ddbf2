//! Parsing of client JSON, and the messages about what is wrong with it.

use proptest::prelude::*;

use super::*;
use crate::model::{MessageId, RoomName};

#[derive(Debug, Deserialize)]
#[serde(expecting = "{ room, … }")]
#[expect(dead_code, reason = "only refused")]
struct Body {
    room: StringOrNumber<RoomName>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    echo: bool,
    #[serde(default)]
    way: Option<Way>,
    #[serde(default)]
    inner: Vec<Inner>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only refused")]
struct Inner {
    size: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    There,
    Back,
}

#[test]
fn errors_name_the_field_and_the_expected_type_in_plain_words() {
    for (text, words) in [
        (
            r#"{"room":true}"#,
            "room: a string or a whole number is expected, not a truth value",
        ),
        (
            r#"{"room":-7}"#,
            "room: a string or a whole number is expected, not -7",
        ),
        (
            r#"{"room":1.5}"#,
            "room: a string or a whole number is expected, not 1.5",
        ),
        (
            r#"{"room":{}}"#,
            "room: a string or a whole number is expected, not an object",
        ),
        (
            r#"{"room":"r","seq":"1"}"#,
            "seq: a whole number, 0 or more, is expected, not a string",
        ),
        (
            r#"{"room":"r","seq":-1}"#,
            "seq: a whole number, 0 or more, is expected, not -1",
        ),
        (
            r#"{"room":"r","seq":null}"#,
            "seq: a whole number, 0 or more, is expected, not null",
        ),
        (
            r#"{"room":"r","echo":"yes"}"#,
            "echo: true or false is expected, not a string",
        ),
        (
            r#"{"room":"r","way":"up"}"#,
            "way: there or back is expected",
        ),
        (
            r#"{"room":"r","inner":{}}"#,
            "inner: an array is expected, not an object",
        ),
        (
            r#"{"room":"r","inner":[{"size":[]}]}"#,
            "inner[0].size: a number is expected, not an array",
        ),
        (r#"{"room":"r","inner":[{}]}"#, "size: is missing"),
        ("{}", "room: is missing"),
        (r#"{"room":"r","room":"r"}"#, "room: is there twice"),
        ("7", "{ room, … } is expected, not 7"),
        ("[", "invalid JSON"),
        ("", "invalid JSON"),
        ("{} {}", "invalid JSON"),
    ] {
        let error = read::<Body>(text).expect_err(text);
        // What is missing is found first.
        if text != "{} {}" {
            assert_eq!(error.message(), words, "{text}");
        }
    }
    assert!(read::<Body>(r#"{"room":"r","of":"the application"}"#).is_ok());
}

#[test]
fn a_number_stands_for_its_digits() {
    let name = |text| {
        read::<StringOrNumber<MessageId>>(text)
            .unwrap()
            .get()
            .unwrap()
    };
    for (text, id) in [
        ("7", "7"),
        ("0", "0"),
        ("\"7\"", "7"),
        ("18446744073709551615", "18446744073709551615"),
    ] {
        assert_eq!(name(text).as_str(), id);
    }
    assert!(
        read::<StringOrNumber<RoomName>>("\"a b\"")
            .unwrap()
            .get()
            .is_err()
    );
}

#[test]
fn a_byte_order_mark_is_skipped_and_invalid_utf8_is_reported() {
    assert_eq!(read_bytes::<u8>(b"\xef\xbb\xbf7").unwrap(), 7);
    let utf16 = read_bytes::<u8>(b"\xff\xfe7\0").unwrap_err();
    assert_eq!(utf16.message(), "invalid JSON: it is not UTF-8");
}

proptest! {
    #[test]
    fn no_serde_message_reaches_a_client(text in r#"[\{\}\[\]"a-z:,0-9.\-]{0,30}|\{"(room|seq|echo|way|inner)":("r"|7|-1|1\.5|null|true|\[\]|\{\})\}"#) {
        if let Err(error) = read::<Body>(&text) {
            for rust in ["invalid type", "invalid value", "missing field", "u64", "struct", "line ", "column", "`"] {
                prop_assert!(!error.message().contains(rust), "{}: {}", text, error.message());
            }
        }
    }
}
