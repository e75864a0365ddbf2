use serde::Deserialize;
use serde_json::json;

use super::*;

fn decoded<T: DeserializeOwned + 'static>(
    text: &'static str,
    attachments: &[&'static [u8]],
) -> Result<T> {
    let attachments = attachments
        .iter()
        .copied()
        .map(Bytes::from_static)
        .collect();
    let values: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    decode(&Str::from(text), Some(&attachments), values.len() - 1)
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
fn bytes_are_attachments_wherever_they_are() {
    #[derive(Debug, Deserialize, Serialize, PartialEq)]
    struct Scene {
        name: String,
        parts: Vec<Bytes>,
    }
    let text = r#"["e",{"name":"a","parts":[{"_placeholder":true,"num":0}]},{"_placeholder":true,"num":1}]"#;
    let (scene, bytes): (Scene, Bytes) = decoded(text, &[b"one", b"zero"]).unwrap();
    assert_eq!(scene.parts, [Bytes::from("one")]);
    assert_eq!(bytes, "zero");
    let encoded = encode_event("e", &(scene, bytes)).unwrap();
    assert_eq!(
        encoded.attachments,
        [Bytes::from("one"), Bytes::from("zero")]
    );
    for wrong in [r#"["e",{}]"#, r#"["e",1]"#] {
        assert!(decoded::<Bytes>(wrong, &[b"zero"]).is_err(), "{wrong}");
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
