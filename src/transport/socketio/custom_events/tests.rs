//! Acks of application events.

use super::*;

#[test]
fn an_ack_is_one_object_whatever_the_reply() {
    #[derive(Serialize)]
    struct Reply<'a> {
        room: &'a str,
        data: &'a RawValue,
    }
    let data = RawValue::from_string("1.0".into()).unwrap();
    let reply = Reply {
        room: "r",
        data: &data,
    };
    assert_eq!(
        encode_ack(&reply).unwrap().get(),
        r#"{"ok":true,"room":"r","data":1.0}"#
    );
    assert_eq!(encode_ack(&()).unwrap().get(), r#"{"ok":true}"#);
}
