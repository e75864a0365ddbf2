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
    #[derive(Serialize)]
    struct Name(String);
    let text = |encoded: Result<EventPayload>| encoded.unwrap().text.to_string();
    assert_eq!(text(encode_event("e", &())), r#"["e",null]"#);
    assert_eq!(text(encode_event("e", &[(); 0])), r#"["e"]"#);
    assert_eq!(text(encode_event("quo\"te", &1)), r#"["quo\"te",1]"#);
    assert_eq!(text(encode_event("e", &(1, [2, 3]))), r#"["e",1,[2,3]]"#);
    assert_eq!(text(encode_event("e", &vec![1, 2])), r#"["e",[1,2]]"#);
    assert_eq!(
        text(encode_event("e", &Name("a".to_owned()))),
        r#"["e","a"]"#
    );
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
