//! What is written is read back the same, by this server's reader and by another.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::emitters::msgpack::to_json;

const DEPTH: usize = 8;

fn write(text: &str, attachments: &[Bytes]) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    write_json(&mut out, text, attachments, DEPTH).map(|()| out)
}

/// What the text is read back as.
fn read_back(text: &str) -> String {
    let read = to_json(&write(text, &[]).unwrap(), DEPTH, 1 << 20).unwrap();
    assert!(read.attachments.is_empty());
    read.text
}

#[test]
fn numbers_stay_what_they_are() {
    for text in [
        "0",
        "127",
        "128",
        "65536",
        "18446744073709551615",
        "-1",
        "-33",
        "-9223372036854775808",
        "1.5",
        "-0.25",
        "-0",
        "1e300",
        "100000000000000000000",
    ] {
        let read: f64 = read_back(text).parse().unwrap();
        assert_eq!(read.to_bits(), text.parse::<f64>().unwrap().to_bits());
    }
    assert_eq!(write("7", &[]).unwrap(), [7]);
    assert_eq!(
        read_back("18446744073709551615"),
        "18446744073709551615",
        "as a whole number"
    );
    // More than a float can be is infinite in JavaScript, too.
    assert_eq!(read_back("1e999"), "null");
}

#[test]
fn strings_are_unescaped_and_halves_of_surrogate_pairs_are_replaced() {
    assert_eq!(
        read_back(r#""a\"\\\n\u00e9\ud83e\udd80""#),
        r#""a\"\\\né🦀""#
    );
    assert_eq!(read_back(r#""\\""#), r#""\\""#);
    assert_eq!(read_back(r#"["\ud83e","b"]"#), r#"["���","b"]"#);
    assert_eq!(read_back(r#"{"\u0061":"\/"}"#), r#"{"a":"/"}"#);
}

#[test]
fn placeholders_become_their_attachments_in_any_order() {
    let attachments = [Bytes::from_static(b"zero"), Bytes::from_static(b"one")];
    let text = r#" [ "draw", {"a": [{"num":1,"_placeholder":true}]} , {"_placeholder":true,"num":0, "x": [2]}, {"_placeholder":1} ] "#;
    let read = to_json(&write(text, &attachments).unwrap(), DEPTH, 1 << 20).unwrap();
    let expected = json!(["draw", { "a": [{ "_placeholder": true, "num": 0 }] }, { "_placeholder": true, "num": 1 }, { "_placeholder": 1 }]);
    assert_eq!(serde_json::from_str::<Value>(&read.text).unwrap(), expected);
    assert_eq!(read.attachments, [&b"one"[..], b"zero"]);
    // In an event without attachments they are data.
    assert_eq!(
        read_back(r#"[{"_placeholder":true,"num":5}]"#),
        r#"[{"_placeholder":true,"num":5}]"#
    );
    for wrong in [
        r#"{"_placeholder":true,"num":2}"#,
        r#"{"_placeholder":true}"#,
    ] {
        assert_eq!(write(wrong, &attachments), Err(Refusal::Malformed));
    }
}

#[test]
fn what_is_not_json_or_too_deep_is_refused() {
    for wrong in [
        "",
        " ",
        "[",
        "[1",
        "[1 2]",
        "{",
        r#"{"a"}"#,
        r#"{"a":}"#,
        "{1:2}",
        r#"""#,
        r#""\"#,
        "tru",
        "-",
        "1 1",
        "]",
        "nul",
        "NaN",
    ] {
        assert_eq!(write(wrong, &[]), Err(Refusal::Malformed), "{wrong}");
    }
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(write(&nested(DEPTH), &[]).is_ok());
    assert_eq!(write(&nested(DEPTH + 1), &[]), Err(Refusal::TooDeep));
    assert_eq!(write(&"[".repeat(1 << 20), &[]), Err(Refusal::TooDeep));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e6..1e6f64).prop_map(|number| Value::from(number + 0.5_f64.copysign(number))),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back_the_same(value in values(), pretty: bool) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => value.to_string(),
        };
        let written = write(&text, &[]).unwrap();
        let read: Value = serde_json::from_str(&to_json(&written, DEPTH, 1 << 24).unwrap().text).unwrap();
        let as_floats = |value: &Value| value.to_string().replace(".0,", ",").replace(".0]", "]").replace(".0}", "}");
        prop_assert_eq!(as_floats(&read), as_floats(&value));
        let mut rest = &written[..];
        rmpv::decode::read_value(&mut rest).unwrap();
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn whatever_comes_is_written_or_refused(text: String) {
        let is_json = serde_json::from_str::<de::IgnoredAny>(&text).is_ok();
        prop_assert!(!is_json || write(&text, &[]).is_ok());
    }
}
