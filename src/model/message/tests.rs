//! Serialization of messages.

use super::*;

#[test]
fn data_is_serialized_byte_for_byte() {
    for data in [
        "12345678901234567890",
        "1.0",
        r#"{"b":1,"a":2}"#,
        r#""\u0000""#,
        "1e400",
    ] {
        let message = Message {
            room: RoomKey {
                namespace: Namespace::root(),
                room: RoomName::parse("r").expect("valid"),
            },
            id: MessageId::parse("i").expect("valid"),
            seq: Seq(1),
            offset: Offset(1),
            event: EventName::message(),
            from: None,
            data: RawValue::from_string(data.to_owned()).expect("JSON").into(),
            ts: Timestamp(5),
            except: None,
        };
        assert_eq!(
            serde_json::to_string(&message).expect("serializes"),
            format!(
                r#"{{"room":"r","id":"i","seq":1,"event":"message","from":null,"data":{data},"ts":5}}"#
            )
        );
    }
}
