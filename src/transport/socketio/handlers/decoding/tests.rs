use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    proptest,
};
use rmpv::Value;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;
use crate::{
    error::Code,
    transport::socketio::{handlers::encoding::encode_event, placeholders::check_placeholders},
};

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
    assert_eq!(decoded::<[u32; 2]>(r#"["e",1,2]"#, &[]).unwrap(), [1, 2]);
    assert_eq!(
        decoded::<([u32; 2],)>(r#"["e",[1,2]]"#, &[]).unwrap().0,
        [1, 2]
    );
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
fn a_text_is_no_binary_argument() {
    for attachments in [&[][..], &[&b"x"[..]]] {
        let text = r#"["e","hello",1]"#;
        let error = decoded::<Bytes>(text, attachments).unwrap_err();
        assert!(error.to_string().contains("string"), "{error}");
        assert!(decoded::<(Bytes,)>(text, attachments).is_err());
        assert!(decoded::<Option<Bytes>>(text, attachments).is_err());
        // What is not itself an argument is as serde_json reads it, and so are numbers.
        let list = decoded::<Vec<Bytes>>(r#"["e",["hello"]]"#, attachments);
        assert_eq!(list.unwrap(), ["hello"]);
        let bytes = decoded::<Bytes>(r#"["e",[104,105]]"#, attachments);
        assert_eq!(bytes.unwrap(), "hi");
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

#[test]
fn keys_beside_attachments_are_of_any_type_that_keys_of_json_can_have() {
    #[derive(Debug, Deserialize, PartialEq, Eq, Hash)]
    #[serde(rename_all = "lowercase")]
    enum Side {
        Left,
    }
    #[derive(Debug, Deserialize, PartialEq, Eq, Hash)]
    struct Id(u64);
    fn is_key<K: DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, key: &K) {
        for value in [r#"{"_placeholder":true,"num":0}"#, "null"] {
            let text = format!(r#"["e",{{"{name}":{value}}}]"#);
            let Keys(pairs) = decoded::<Keys<K>>(&text, &[b"x"]).unwrap();
            assert_eq!(pairs, std::slice::from_ref(key), "{name} {value}");
        }
    }
    fn is_no_key<K: DeserializeOwned + std::fmt::Debug>(name: &str) {
        for value in [r#"{"_placeholder":true,"num":0}"#, "null"] {
            let text = format!(r#"["e",{{"{name}":{value}}}]"#);
            let error = decoded::<Keys<K>>(&text, &[b"x"]).unwrap_err();
            assert_eq!(error.code(), Code::BadRequest);
        }
    }
    is_key("left", &Side::Left);
    is_key("left", &Some(Side::Left));
    is_key("7", &Id(7));
    is_key("-7", &-7_i8);
    is_key("true", &true);
    is_key("false", &false);
    is_key("1.5", &1.5_f64);
    is_key("-1e3", &-1000_f32);
    is_key("0.30000000000000004", &(0.1 + 0.2));
    is_key("x", &'x');
    is_key("x", &"x".to_owned());
    is_key("x", &Bytes::from("x"));
    is_key("170141183460469231731687303715884105728", &(1_u128 << 127));
    is_key("-170141183460469231731687303715884105728", &i128::MIN);
    is_no_key::<Side>("right");
    is_no_key::<bool>("True");
    is_no_key::<()>("null");
    for name in ["", " 1", "1 ", "+1", "x", "256", "-1", "1.5", "1,"] {
        is_no_key::<u8>(name);
    }
    is_no_key::<i128>("1.5");
    is_no_key::<f64>("NaN");
}

/// The keys of an object, whatever their type.
#[derive(Debug)]
struct Keys<K>(Vec<K>);

impl<'de, K: Deserialize<'de>> Deserialize<'de> for Keys<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<K>(std::marker::PhantomData<K>);
        impl<'de, K: Deserialize<'de>> Visitor<'de> for InOrder<K> {
            type Value = Keys<K>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Keys<K>, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, _)) = map.next_entry::<K, Value>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}

/// An event of a mebibyte whose attachment is in many arrays or objects, with most bytes in the innermost.
fn event_of_a_mebibyte(levels: usize, [open, close]: [&str; 2], filler: &str) -> String {
    let (open, close) = (open.repeat(levels), close.repeat(levels));
    let filler = filler.repeat((1 << 20) / filler.len());
    format!(r#"["e",{open}[{filler}{{"_placeholder":true,"num":0}}]{close}]"#)
}

/// How long it takes to check and decode an event; of some runs the shortest, in which nothing else had the processor.
fn time_to_decode(text: &str) -> Duration {
    let attachments = VecDeque::from([Bytes::from_static(b"x")]);
    let runs = (0..3).map(|_| {
        let begun = Instant::now();
        let values: Vec<&RawValue> = serde_json::from_str(text).unwrap();
        check_placeholders(&values, &attachments).unwrap();
        decode::<Value>(text, Some(&attachments)).unwrap();
        begun.elapsed()
    });
    runs.min().unwrap()
}

#[test]
fn an_event_takes_time_by_its_bytes_and_not_by_how_deep_they_are() {
    let string = format!(r#""{}","#, "a".repeat(1 << 10));
    for (filler, around) in [
        (string.as_str(), ["[", "]"]),
        (r#""\u005f\u005f","#, [r#"{"a":"#, "}"]),
        ("[[]],", [r#"{"a":"#, "}"]),
    ] {
        let flat = time_to_decode(&event_of_a_mebibyte(0, around, filler));
        let nested = time_to_decode(&event_of_a_mebibyte(63, around, filler));
        assert!(nested < flat * 4, "flat {flat:?}, nested {nested:?}");
    }
}

#[test]
fn white_space_may_be_anywhere_around_an_attachment() {
    let text = "[ \"e\" , { \"a\" :\n[ 1 , {\t\"_placeholder\" : true , \"num\" : 0 } , [ ] ]\r\n, \"b\" : { } } ]";
    let value: HashMap<String, Value> = decoded(text, &[b"x"]).unwrap();
    let array = vec![1.into(), Value::Binary(b"x".into()), Value::Array(vec![])];
    assert_eq!(value["a"], Value::Array(array));
    assert_eq!(value["b"], Value::Map(vec![]));
}

#[test]
fn a_value_around_an_attachment_has_no_more_elements_than_are_taken() {
    #[derive(Debug, Deserialize)]
    enum Shape {
        Image(Bytes),
    }
    let place = r#"{"_placeholder":true,"num":0}"#;
    let Shape::Image(image) = decoded(&format!(r#"["e",{{"Image":{place}}}]"#), &[b"x"]).unwrap();
    assert_eq!(image, "x");
    let two = format!(r#"["e",{{"Image":{place},"More":1}}]"#);
    assert!(decoded::<Shape>(&two, &[b"x"]).is_err());
    let three = format!(r#"["e",[{place},1,2]]"#);
    assert!(decoded::<((Bytes, u8),)>(&three, &[b"x"]).is_err());
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
