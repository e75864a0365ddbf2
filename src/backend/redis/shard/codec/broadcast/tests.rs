use super::*;
use crate::model::{ConnectionId, Namespace};

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn broadcast(to: Audience) -> Broadcast {
    Broadcast {
        namespace: Namespace::root(),
        to,
        except: vec![ConnectionId::generate()],
        except_rooms: vec![room("quiet")],
        event: EventPayload {
            text: r#"["draw",{"_placeholder":true,"num":0},"é"]"#.into(),
            attachments: vec![Bytes::from_static(b"\x00\n\xff"), Bytes::new()],
        },
    }
}

#[test]
fn a_broadcast_is_the_same_after_encoding_and_decoding() {
    let node = NodeId::generate();
    let rooms = Audience::Rooms(vec![room("a"), room("b")]);
    let connection = Audience::Connection(ConnectionId::generate());
    for to in [rooms, Audience::Everybody, connection] {
        let sent = broadcast(to);
        let mut encoded = Vec::new();
        encode(&sent, node, &mut encoded);
        let (event, from) = decode(&sent.channel(), &encoded).unwrap();
        assert_eq!(from, node);
        let BusEvent::Broadcast(decoded) = event else {
            panic!("{event:?}");
        };
        assert_eq!(*decoded, sent);
    }
}

#[test]
fn a_broadcast_that_is_cut_is_none() {
    let sent = broadcast(Audience::Rooms(vec![room("a")]));
    let channel = sent.channel();
    let mut encoded = Vec::new();
    encode(&sent, NodeId::generate(), &mut encoded);
    for len in 0..encoded.len() {
        assert!(decode(&channel, &encoded[..len]).is_none(), "{len} bytes");
    }
}
