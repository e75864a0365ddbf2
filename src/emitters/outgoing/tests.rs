//! What servers of Socket.IO for Node are sent, and how nodes recognise it.

use std::sync::Mutex;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::json;

use super::*;
use crate::{
    backend::{Channel, PubSubMessages},
    emitters::{command::Command, event::EventLimits, msgpack::to_json, server_message},
    hub::SocketName,
    model::{EventPayload, Namespace, UserId},
    sync::lock,
};

/// Keeps what is published.
#[derive(Default)]
struct Published(Mutex<Vec<(String, Vec<u8>)>>);

impl PubSub for Published {
    fn publish(&self, channel: String, message: Vec<u8>) {
        lock(&self.0).push((channel, message));
    }

    fn subscribe(&self, _: String) -> BoxFuture<'static, PubSubMessages> {
        unimplemented!("nothing is subscribed to")
    }

    fn subscribe_all(&self, _: Vec<Channel>) -> BoxFuture<'static, PubSubMessages> {
        unimplemented!("nothing is subscribed to")
    }

    fn for_other_systems(&self, _: usize) -> Arc<dyn PubSub> {
        unimplemented!("it is one already")
    }

    fn unsubscribe(&self, _: String) {}

    fn node_count(&self) -> usize {
        1
    }

    fn prefix(&self) -> String {
        "p".to_owned()
    }

    fn dropped(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn broadcast(to: Audience) -> Broadcast {
    Broadcast {
        namespace: Namespace::parse("/chat").unwrap(),
        to,
        except: Vec::new(),
        except_rooms: Vec::new(),
        event: EventPayload {
            text: r#"["draw",{"_placeholder":true,"num":0},1.5]"#.into(),
            attachments: vec![Bytes::from_static(b"image")],
        },
    }
}

/// The channels and messages of broadcasts.
fn published(broadcasts: &[Broadcast]) -> Vec<(String, Vec<u8>)> {
    let pubsub = Arc::<Published>::default();
    let publisher = Publisher {
        pubsub: pubsub.clone(),
        sender: ClusterSender::new("p"),
        key: "k".to_owned(),
        metrics: Arc::default(),
    };
    broadcasts.iter().for_each(|it| publisher.publish(it));
    std::mem::take(&mut lock(&pubsub.0))
}

#[test]
fn a_broadcast_is_published_as_a_server_would_on_the_channel_of_its_only_room() {
    let socket = ConnectionId::generate();
    let personal = RoomName::personal(&UserId::parse("alice").unwrap());
    let all = [
        Audience::Everybody,
        Audience::Rooms(vec![room("a#b")]),
        Audience::Rooms(vec![room("a"), room("b")]),
        Audience::Rooms(vec![personal]),
        Audience::Connection(socket),
    ];
    let published = published(&all.map(broadcast));
    let channels: Vec<_> = published.iter().map(|(channel, _)| &**channel).collect();
    let of_socket = format!("k#/chat#{socket}#");
    assert_eq!(
        channels,
        [
            "k#/chat#",
            "k#/chat#a#b#",
            "k#/chat#",
            "k#/chat#user:alice#",
            &of_socket
        ]
    );
    let read = to_json(&published[2].1, 16, 1 << 20).unwrap();
    let expected = json!([
        "switchboard p",
        { "type": 2, "data": ["draw", { "_placeholder": true, "num": 0 }, 1.5], "nsp": "/chat" },
        { "rooms": ["a", "b"], "except": [], "flags": {} },
    ]);
    let text: serde_json::Value = serde_json::from_str(&read.text).unwrap();
    assert_eq!(text, expected);
    assert_eq!(read.attachments, [&b"image"[..]]);
}

#[test]
fn another_cluster_reads_what_was_broadcast() {
    let mut sent = broadcast(Audience::Rooms(vec![room("a")]));
    sent.except = vec![ConnectionId::generate()];
    sent.except_rooms = vec![room("muted")];
    let [(_, message)] = published(&[sent.clone()]).try_into().unwrap();
    let read = server_message::broadcast(&sent.namespace, &message, &EventLimits::testing());
    let Ok(Command::Emit(to, event)) = read else {
        panic!("{read:?}");
    };
    assert_eq!(event, sent.event);
    assert_eq!(to.of, Some(vec![SocketName::Room(room("a"))]));
    let except = [
        SocketName::Connection(sent.except[0]),
        SocketName::Room(room("muted")),
    ];
    assert_eq!(to.except, except);
}

#[test]
fn nodes_recognise_what_their_own_cluster_has_sent() {
    let [(_, message)] = published(&[broadcast(Audience::Everybody)])
        .try_into()
        .unwrap();
    assert!(ClusterSender::new("p").has_sent(&message));
    for other in [
        "",
        "p2",
        "q",
        "a prefix that is much longer than those of others",
    ] {
        assert!(!ClusterSender::new(other).has_sent(&message), "{other}");
    }
    assert!(!ClusterSender::new("p").has_sent(b""));
}

#[test]
fn an_event_for_no_room_or_that_is_no_json_is_not_published() {
    let nobody = broadcast(Audience::Rooms(Vec::new()));
    let mut broken = broadcast(Audience::Everybody);
    broken.event = EventPayload {
        text: "[".into(),
        attachments: Vec::new(),
    };
    assert_eq!(published(&[nobody, broken]), []);
}
