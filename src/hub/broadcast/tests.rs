//! Who receives a broadcast.

use std::sync::{Arc, Mutex};

use crate::{
    hub::{
        BroadcastPublisher, Connection, Hub, Publish, SocketSet,
        testing::{RecordingClient, hub, member},
    },
    model::{Audience, Broadcast, ConnectionId, EventPayload, Namespace, RoomName},
    sync::lock,
};

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn rooms(names: &[&str]) -> Audience {
    Audience::Rooms(names.iter().map(|name| room(name)).collect())
}

fn draw(to: Audience) -> Broadcast {
    Broadcast {
        namespace: Namespace::root(),
        to,
        except: Vec::new(),
        except_rooms: Vec::new(),
        event: EventPayload {
            text: r#"["draw",1]"#.into(),
            attachments: Vec::new(),
        },
    }
}

type Member = (Arc<Connection>, Arc<RecordingClient>);

/// Three members: of `a`, of `a` and `b`, of `b`; the first has left no trace in the others' journals.
async fn members(hub: &Hub) -> [Member; 3] {
    let mut members = Vec::new();
    for (user, rooms) in [
        ("alice", &["a"][..]),
        ("bob", &["a", "b"]),
        ("carol", &["b"]),
    ] {
        members.push(member(hub, user, rooms).await);
    }
    members.try_into().ok().unwrap()
}

/// How often each has received the event, once everything that was sent before has come.
async fn draws(hub: &Hub, members: &[Member]) -> Vec<usize> {
    hub.backend().bus.flush().await;
    let count = |(_, client): &Member| {
        let received = client.received();
        received.iter().filter(|event| *event == "draw").count()
    };
    members.iter().map(count).collect()
}

#[tokio::test]
async fn members_of_several_of_the_rooms_receive_a_broadcast_once() {
    let hub = hub();
    let members = members(&hub).await;
    hub.broadcast(draw(rooms(&["a", "b"]))).await.unwrap();
    assert_eq!(draws(&hub, &members).await, [1, 1, 1]);
    hub.broadcast(draw(rooms(&["b"]))).await.unwrap();
    assert_eq!(draws(&hub, &members).await, [1, 2, 2]);
}

#[tokio::test]
async fn a_broadcast_leaves_out_its_exceptions() {
    let hub = hub();
    let members = members(&hub).await;
    let except = vec![members[0].0.id()];
    let broadcast = Broadcast {
        except: except.clone(),
        ..draw(rooms(&["a", "b"]))
    };
    hub.broadcast(broadcast).await.unwrap();
    assert_eq!(draws(&hub, &members).await, [0, 1, 1]);
    let broadcast = Broadcast {
        except_rooms: vec![room("b")],
        ..draw(Audience::Everybody)
    };
    hub.broadcast(broadcast).await.unwrap();
    assert_eq!(draws(&hub, &members).await, [1, 1, 1]);
}

#[tokio::test]
async fn a_broadcast_to_everybody_stays_in_its_namespace_and_one_to_a_connection_is_for_it_alone() {
    let hub = hub();
    let members = members(&hub).await;
    let elsewhere = Broadcast {
        namespace: Namespace::parse("/other").unwrap(),
        ..draw(Audience::Everybody)
    };
    hub.broadcast(elsewhere).await.unwrap();
    assert_eq!(draws(&hub, &members).await, [0, 0, 0]);
    hub.broadcast(draw(Audience::Everybody)).await.unwrap();
    assert_eq!(draws(&hub, &members).await, [1, 1, 1]);
    let to = Audience::Connection(members[1].0.id());
    hub.broadcast(draw(to)).await.unwrap();
    assert_eq!(draws(&hub, &members).await, [1, 2, 1]);
}

#[tokio::test]
async fn a_broadcast_has_its_place_among_the_messages_of_its_room() {
    let hub = hub();
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    let (_, bob) = member(&hub, "bob", &["a"]).await;
    let before = bob.received().len();
    for _ in 0..20 {
        let message = Publish::new(room("a"), "message", &1).unwrap();
        let sent = hub.publish(&alice, message).await.unwrap();
        sent.settled().await.unwrap();
        hub.broadcast(draw(rooms(&["a"]))).await.unwrap();
    }
    hub.backend().bus.flush().await;
    let received = bob.received().split_off(before);
    assert_eq!(received.len(), 40);
    assert!(
        received
            .chunks(2)
            .all(|pair| pair[1] == "draw" && pair[0] != "draw"),
        "{received:?}"
    );
}

/// Keeps the text of what is published.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<Vec<String>>>);

impl BroadcastPublisher for Published {
    fn publish(&self, broadcast: &Broadcast) {
        lock(&self.0).push(broadcast.event.text.to_string());
    }
}

fn numbered(number: usize, to: Audience) -> Broadcast {
    let mut broadcast = draw(to);
    broadcast.event.text = format!(r#"["draw",{number}]"#).into();
    broadcast
}

#[tokio::test]
async fn what_begins_here_is_published_once_and_in_order_and_nothing_else() {
    let hub = hub();
    let members = members(&hub).await;
    let published = Published::default();
    hub.publish_broadcasts(Box::new(published.clone()));
    let here = Audience::Connection(members[0].0.id());
    let elsewhere = Audience::Connection(ConnectionId::generate());
    let all = [rooms(&["a"]), here, Audience::Everybody, elsewhere];
    for (number, to) in all.into_iter().enumerate() {
        hub.emit(numbered(number, to)).await.unwrap();
    }
    // Of a server of another system: it is for this node alone.
    let of_others = SocketSet {
        namespace: Namespace::root(),
        of: None,
        except: Vec::new(),
    };
    let event = numbered(9, Audience::Everybody).event;
    hub.send_to_sockets(&of_others, event).await.unwrap();
    let message = Publish::new(room("a"), "message", &1).unwrap();
    hub.publish(&members[0].0, message).await.unwrap();
    let expected = [0, 2, 3].map(|number| format!(r#"["draw",{number}]"#));
    assert_eq!(*lock(&published.0), expected);
    assert_eq!(draws(&hub, &members).await, [4, 3, 2]);
}
