use serde_json::json;

use super::*;

#[test]
fn bytes_are_attachments_wherever_they_are() {
    #[derive(Serialize)]
    struct Picture(Bytes);
    #[derive(Serialize)]
    struct Scene {
        parts: Vec<Bytes>,
        thumbnail: Option<Bytes>,
        picture: Picture,
    }
    let scene = Scene {
        parts: vec!["one".into(), "one".into()],
        thumbnail: Some("two".into()),
        picture: Picture("three".into()),
    };
    let encoded = encode_event("e", &(scene, Bytes::from("four"))).unwrap();
    let place = |number: u8| format!(r#"{{"_placeholder":true,"num":{number}}}"#);
    let expected = format!(
        r#"["e",{{"parts":[{},{}],"thumbnail":{},"picture":{}}},{}]"#,
        place(0),
        place(1),
        place(2),
        place(3),
        place(4)
    );
    assert_eq!(&*encoded.text, expected);
    assert_eq!(encoded.attachments, ["one", "one", "two", "three", "four"]);
}

#[test]
fn an_event_has_its_name_and_its_arguments() {
    fn is<T: Serialize + ?Sized>(data: &T, expected: &str) {
        assert_eq!(&*encode_event("e", data).unwrap().text, expected);
    }
    #[derive(Serialize)]
    struct Point(i32, i32);
    assert_eq!(
        &*encode_event("quo\"te", &1).unwrap().text,
        r#"["quo\"te",1]"#
    );
    is(&(1, [2, 3]), r#"["e",1,[2,3]]"#);
    is(&[1, 2], r#"["e",1,2]"#);
    is(&Point(1, 2), r#"["e",1,2]"#);
    is(&Box::new((1,)), r#"["e",1]"#);
    is(&vec![1, 2], r#"["e",[1,2]]"#);
    is(&[1, 2][..], r#"["e",[1,2]]"#);
    is(&Some((1, 2)), r#"["e",[1,2]]"#);
    is("a", r#"["e","a"]"#);
}

#[test]
fn a_struct_around_one_value_is_one_argument() {
    #[derive(Serialize)]
    struct Around<T>(T);
    for (encoded, expected) in [
        (encode_event("e", &Around("a")), r#"["e","a"]"#),
        (encode_event("e", &Around(vec![1, 2])), r#"["e",[1,2]]"#),
        (encode_event("e", &Around((1, 2))), r#"["e",[1,2]]"#),
        (encode_event("e", &(Around(vec![1]), 2)), r#"["e",[1],2]"#),
        (encode_ack(&Around(vec![1, 2])), "[[1,2]]"),
    ] {
        assert_eq!(&*encoded.unwrap().text, expected);
    }
}

#[test]
fn nothing_is_no_argument_and_null_is_one() {
    #[derive(Serialize)]
    struct Nothing;
    for (encoded, expected) in [
        (encode_event("e", &()), r#"["e"]"#),
        (encode_event("e", &Nothing), r#"["e"]"#),
        (encode_event("e", &[0_u8; 0]), r#"["e"]"#),
        (encode_event("e", &None::<u8>), r#"["e",null]"#),
        (encode_event("e", &json!(null)), r#"["e",null]"#),
        (encode_event("e", &rmpv::Value::Nil), r#"["e",null]"#),
        (encode_event("e", &((),)), r#"["e",null]"#),
        (encode_ack(&()), "[]"),
        (encode_ack(&json!(null)), "[null]"),
    ] {
        assert_eq!(&*encoded.unwrap().text, expected);
    }
}

#[test]
fn a_reply_that_is_an_object_gets_ok_and_any_other_is_sent_as_it_is() {
    for (reply, expected) in [
        (json!({ "value": 6 }), r#"[{"ok":true,"value":6}]"#),
        (json!({}), r#"[{"ok":true}]"#),
        (json!(null), r#"[{"ok":true}]"#),
        (json!([1, 2]), "[[1,2]]"),
        (json!("done"), r#"["done"]"#),
        (json!(false), "[false]"),
    ] {
        assert_eq!(&*encode_ok(&reply).unwrap().text, expected);
    }
    assert_eq!(&*encode_ok(&()).unwrap().text, r#"[{"ok":true}]"#);
    // A tuple is one value here: several are what the sender of the ack is for.
    assert_eq!(&*encode_ok(&(1, 2)).unwrap().text, "[[1,2]]");
    assert_eq!(&*encode_ack(&(1, 2)).unwrap().text, "[1,2]");
    assert_eq!(&*encode_ack(&[1, 2][..]).unwrap().text, "[[1,2]]");
}
