use super::*;
use crate::model::{Namespace, RoomKey};

fn message(event: &str) -> Arc<Message> {
    Arc::new(Message {
        room: RoomKey {
            namespace: Namespace::root(),
            room: RoomName::parse("lobby").unwrap(),
        },
        id: MessageId::parse("m1").unwrap(),
        seq: Seq(42),
        offset: Offset(7),
        event: EventName::parse(event).unwrap(),
        from: Some(Sender {
            user: UserId::parse("alice").unwrap(),
            name: None,
        }),
        data: RawValue::from_string(r#"{"b":1.0,"a":"\u0000"}"#.into())
            .unwrap()
            .into(),
        ts: Timestamp(9),
        except: None,
    })
}

fn texts(event: Event) -> (String, Vec<String>) {
    let event = OutgoingEvent::new(event);
    let arguments = event.arguments();
    (
        arguments.name.to_string(),
        arguments
            .values
            .iter()
            .map(|value| value.get().to_owned())
            .collect(),
    )
}

#[test]
fn a_message_is_one_object_and_an_offset() {
    let (name, values) = texts(Event::Message(message("message")));
    assert_eq!(name, "message");
    assert_eq!(
        values,
        [
            r#"{"room":"lobby","id":"m1","seq":42,"event":"message","from":{"user":"alice"},"data":{"b":1.0,"a":"\u0000"},"ts":9}"#,
            r#""7~""#
        ]
    );
}

#[test]
fn a_published_event_is_its_data_then_the_rest_then_an_offset() {
    let (name, values) = texts(Event::Message(message("price")));
    assert_eq!(name, "price");
    assert_eq!(
        values,
        [
            r#"{"b":1.0,"a":"\u0000"}"#,
            r#"{"room":"lobby","id":"m1","seq":42,"event":"price","from":{"user":"alice"},"ts":9}"#,
            r#""7~""#
        ]
    );
}

#[test]
fn an_event_that_is_not_stored_never_ends_in_a_string() {
    let message = message("cursor");
    let (_, values) = texts(Event::Ephemeral(Arc::new(Ephemeral {
        room: message.room.clone(),
        id: None,
        event: message.event.clone(),
        from: None,
        data: RawValue::from_string("\"text\"".into()).unwrap().into(),
        ts: Timestamp(9),
    })));
    assert_eq!(
        values,
        [
            "\"text\"",
            r#"{"room":"lobby","event":"cursor","from":null,"ts":9}"#
        ]
    );
}
