use std::collections::HashMap;

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    proptest,
};
use rmpv::Value;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;
use crate::{error::Code, transport::socketio::handlers::encoding::encode_event};

fn decoded<T: DeserializeOwned>(text: &str, attachments: &[&'static [u8]]) -> Result<T> {
    let attachments = attachments.iter().copied().map(Bytes::from_static);
    decode(text, Some(&attachments.collect()))
}

#[test]
fn a_tuple_is_several_arguments_and_anything_else_is_the_first() {
    assert_eq!(decoded::<u32>(r#"["e",7]"#, &[]).unwrap(), 7);
    assert_eq!(decoded::<u32>(r#"["e",7,"more"]"#, &[]).unwrap(), 7);
    let pair: (u32, String) = decoded(r#"["e",7,"seven"]"#, &[]).unwrap();
    assert_eq!(pair, (7, "seven".to_owned()));
    assert_eq!(decoded::<Vec<u32>>(r#"["e",[1,2]]"#, &[]).unwrap(), [1, 2]);
    decoded::<()>(r#"["e"]"#, &[]).unwrap();
    decoded::<()>(r#"["e",1,2]"#, &[]).unwrap();
    assert_eq!(decoded::<Option<u32>>(r#"["e"]"#, &[]).unwrap(), None);
    assert_eq!(decoded::<Option<u32>>(r#"["e",null]"#, &[]).unwrap(), None);
    for wrong in [r#"["e"]"#, r#"["e","seven"]"#, r#"["e",null]"#] {
        let error = decoded::<u32>(wrong, &[]).unwrap_err();
        assert_eq!(error.code(), Code::BadRequest, "{wrong}");
    }
    assert!(decoded::<(u32, String)>(r#"["e",7]"#, &[]).is_err());
}

#[test]
fn an_argument_that_is_missing_is_nothing_and_one_too_many_is_ignored() {
    let pair: (u32, Option<Bytes>) = decoded(r#"["e",7]"#, &[]).unwrap();
    assert_eq!(pair, (7, None));
    let pair: (u32, Option<Bytes>) = decoded(r#"["e",7,null,"more"]"#, &[]).unwrap();
    assert_eq!(pair, (7, None));
}

#[test]
fn a_struct_around_one_value_and_json_that_is_not_parsed_are_an_argument() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Name(String);
    let name = decoded::<Name>(r#"["e","alice"]"#, &[]).unwrap();
    assert_eq!(name, Name("alice".to_owned()));
    let raw = decoded::<Box<RawValue>>(r#"["e", {"a" : 1.50}]"#, &[]).unwrap();
    assert_eq!(raw.get(), r#"{"a" : 1.50}"#);
}

#[test]
fn bytes_are_attachments_wherever_they_are() {
    #[derive(Debug, Deserialize, PartialEq)]
    enum Shape {
        Image(Bytes),
        Named { name: String, bytes: Bytes },
    }
    #[derive(Debug, Deserialize, PartialEq)]
    struct Scene {
        parts: Vec<Shape>,
        thumbnail: Option<Bytes>,
        pages: HashMap<u8, (Bytes, u8)>,
    }
    let place = |number: u8| format!(r#"{{"_placeholder":true,"num":{number}}}"#);
    let text = format!(
        r#"["e",{{"pages":{{"12":[{},1]}},"parts":[{{"Image":{}}},{{"Named":{{"name":"\u0061","bytes":{}}}}}],"thumbnail":{}}},{}]"#,
        place(0),
        place(1),
        place(2),
        place(3),
        place(4)
    );
    let (scene, bytes): (Scene, Bytes) = decoded(&text, &[b"0", b"1", b"2", b"3", b"4"]).unwrap();
    let named = Shape::Named {
        name: "a".to_owned(),
        bytes: "2".into(),
    };
    assert_eq!(scene.parts, [Shape::Image("1".into()), named]);
    assert_eq!(scene.thumbnail, Some("3".into()));
    assert_eq!(scene.pages[&12], ("0".into(), 1));
    assert_eq!(bytes, "4");
    for wrong in [r#"["e",{}]"#, r#"["e",1]"#] {
        assert!(decoded::<Bytes>(wrong, &[b"zero"]).is_err(), "{wrong}");
    }
}

#[test]
fn attachments_go_by_their_number_and_not_by_their_place() {
    for text in [
        r#"["e",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#,
        r#"["e",{"num":1,"_placeholder":true},{"num":0,"_placeholder":true}]"#,
        r#"["e",{"_placeholder":true,"n\u0075m":1},{"\u005fplaceholder":true,"num":0}]"#,
    ] {
        let pair: (Bytes, Bytes) = decoded(text, &[b"zero", b"one"]).unwrap();
        assert_eq!(pair, ("one".into(), "zero".into()), "{text}");
        let pair: (Value, Value) = decoded(text, &[b"zero", b"one"]).unwrap();
        let bytes = |value: Value| value.as_slice().map(<[u8]>::to_vec);
        assert_eq!(bytes(pair.0), Some(b"one".to_vec()), "{text}");
        assert_eq!(bytes(pair.1), Some(b"zero".to_vec()), "{text}");
    }
}

#[test]
fn keys_may_be_written_with_escapes_and_numbers_are_exact() {
    let value: Value = decoded(r#"["e",{"quo\"te":[0.30000000000000004]}]"#, &[]).unwrap();
    assert_eq!(value["quo\"te"][0].as_f64(), Some(0.1 + 0.2));
    let value: serde_json::Value = decoded(r#"["e",-4.687745289017102e-131]"#, &[]).unwrap();
    assert_eq!(value.to_string(), "-4.687745289017102e-131");
}

#[test]
fn a_value_around_an_attachment_is_nested_no_deeper_than_any_other() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"["e",{open}{{"_placeholder":true,"num":0}}{close}]"#)
    };
    decoded::<Value>(&nested(100), &[b"x"]).unwrap();
    assert!(decoded::<Value>(&nested(200), &[b"x"]).is_err());
}

/// Any value with bytes anywhere in it.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        vec(any::<u8>(), 0..9).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let field = (any::<String>().prop_map(Value::from), inner.clone());
        prop_oneof![
            vec(inner, 0..6).prop_map(Value::Array),
            vec(field, 0..6).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_again(value in values(), other in values()) {
        let sent = (value, other);
        let encoded = encode_event("e", &sent).unwrap();
        let attachments = VecDeque::from(encoded.attachments);
        let received: (Value, Value) = decode(&encoded.text, Some(&attachments)).unwrap();
        assert_eq!(received, sent);
    }
}
