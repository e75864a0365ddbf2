//! MessagePack as emitters write it, and as nobody should.

use proptest::prelude::*;
use rmpv::Value;

use super::*;

const DEPTH: usize = 8;
const BYTES: usize = 1 << 16;

fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Transcoded, Refusal> {
    to_json(bytes, DEPTH, BYTES)
}

fn text(bytes: &[u8]) -> String {
    read(bytes).unwrap().text
}

#[test]
fn values_are_written_as_javascript_writes_them() {
    for (value, json) in [
        (Value::Nil, "null"),
        (Value::from(true), "true"),
        (Value::from(-1), "-1"),
        (Value::from(-129), "-129"),
        (Value::from(i64::MIN), "-9223372036854775808"),
        (Value::from(u64::MAX), "18446744073709551615"),
        (Value::from(1.5), "1.5"),
        (Value::from(2.0), "2"),
        (Value::F32(0.5), "0.5"),
        (Value::from(f64::NAN), "null"),
        (Value::from("é\"\n"), r#""é\"\n""#),
        (Value::Array(vec![1.into(), "a".into()]), r#"[1,"a"]"#),
        (
            Value::Map(vec![("a".into(), 1.into()), (7.into(), Value::Nil)]),
            r#"{"a":1,"7":null}"#,
        ),
    ] {
        assert_eq!(text(&encode(&value)), json);
    }
}

#[test]
fn binary_values_are_attachments_by_their_number() {
    let value = Value::Array(vec![
        Value::Binary(vec![1, 2]),
        Value::Map(vec![("b".into(), Value::Binary(Vec::new()))]),
    ]);
    let read = read(&encode(&value)).unwrap();
    let first = r#"{"_placeholder":true,"num":0}"#;
    let second = r#"{"_placeholder":true,"num":1}"#;
    assert_eq!(read.text, format!(r#"[{first},{{"b":{second}}}]"#));
    assert_eq!(read.attachments, [&[1u8, 2][..], &[]]);
}

#[test]
fn extensions_of_notepack_and_dates_are_known() {
    // [undefined, {a: undefined, b: 1}]
    let undefined = [
        0x92, 0xd4, 0, 0, 0x82, 0xa1, b'a', 0xd4, 0, 0, 0xa1, b'b', 1,
    ];
    assert_eq!(text(&undefined), r#"[null,{"b":1}]"#);
    let old_date = [0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(text(&old_date), r#""1970-01-01T00:00:00.001Z""#);
    let seconds = [0xd6, 0xff, 0, 0, 0, 1];
    assert_eq!(text(&seconds), r#""1970-01-01T00:00:01.000Z""#);
    let beyond = [&[0xc7, 12, 0xff][..], &[0xff; 4], &[0x7f; 8]].concat();
    assert_eq!(text(&beyond), "null");
    let buffer = [0xc7, 2, 0, 8, 9];
    assert_eq!(read(&buffer).unwrap().attachments, [&[8u8, 9][..]]);
    assert_eq!(read(&[0xd4, 5, 1]), Err(Refusal::Malformed));
}

#[test]
fn a_message_that_is_undefined_is_refused() {
    assert_eq!(to_json(&[0xd4, 0, 0], 8, 100), Err(Refusal::Malformed));
}

#[test]
fn what_is_cut_or_longer_than_a_value_is_malformed() {
    let value = Value::Array(vec!["abc".into(), Value::Binary(vec![1]), 70_000.into()]);
    let whole = encode(&value);
    for length in 0..whole.len() {
        assert_eq!(read(&whole[..length]), Err(Refusal::Malformed), "{length}");
    }
    assert_eq!(read(&[&whole[..], &[0]].concat()), Err(Refusal::Malformed));
}

#[test]
fn lengths_are_not_believed_and_nesting_is_bounded() {
    for lie in [
        &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
        &[0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0xdb, 0xff, 0xff, 0xff, 0xff],
        &[0xc6, 0xff, 0xff, 0xff, 0xff],
        &[0xc9, 0xff, 0xff, 0xff, 0xff, 0],
        &[0xc1],
        &[0x81, 0x90, 0x90],
    ] {
        assert_eq!(read(lie), Err(Refusal::Malformed), "{lie:x?}");
    }
    let nested = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
    assert!(read(&nested(DEPTH)).is_ok());
    assert_eq!(read(&nested(DEPTH + 1)), Err(Refusal::TooDeep));
    assert_eq!(read(&vec![0x91; 1 << 20]), Err(Refusal::TooDeep));
    assert_eq!(read(&vec![0x81; 1 << 20]), Err(Refusal::Malformed));
}

#[test]
fn few_bytes_do_not_become_many() {
    let nulls = [&[0xdd, 0, 1, 0, 0][..], &vec![0xc0; 1 << 16]].concat();
    assert_eq!(read(&nulls), Err(Refusal::TooLarge));
    let controls = encode(&Value::from("\u{1}".repeat(BYTES / 2)));
    assert_eq!(read(&controls), Err(Refusal::TooLarge));
}

proptest! {
    #[test]
    fn whatever_comes_is_json_within_the_bounds_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(read) = read(&bytes) {
            prop_assert!(read.text.len() <= BYTES);
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&read.text).is_ok(), "{}", read.text);
        }
    }
}
