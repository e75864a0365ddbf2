//! Who is in a set of sockets, and what is done to them.

use super::*;
use crate::hub::testing::{hub, member};

fn room(name: &str) -> SocketName {
    SocketName::Room(RoomName::parse(name).unwrap())
}

fn set(of: Option<Vec<SocketName>>, except: Vec<SocketName>) -> SocketSet {
    SocketSet {
        namespace: Namespace::root(),
        of,
        except,
    }
}

fn event() -> EventPayload {
    EventPayload {
        text: r#"["draw",1]"#.into(),
        attachments: Vec::new(),
    }
}

#[tokio::test]
async fn each_member_of_a_set_receives_an_event_once_by_whatever_names() {
    let hub = hub();
    let (alice, a) = member(&hub, "alice", &["a"]).await;
    let (_, b) = member(&hub, "bob", &["a", "b"]).await;
    let (carol, c) = member(&hub, "carol", &[]).await;
    let by_id = |connection: &Connection| SocketName::Connection(connection.id());
    for (of, except, expected) in [
        (None, vec![], [1, 1, 1]),
        (None, vec![room("b"), by_id(&carol)], [1, 0, 0]),
        (
            Some(vec![room("a"), room("b"), by_id(&alice)]),
            vec![],
            [1, 1, 0],
        ),
        (
            Some(vec![room("b"), by_id(&alice), by_id(&carol)]),
            vec![by_id(&carol)],
            [1, 1, 0],
        ),
        (
            Some(vec![by_id(&carol), by_id(&carol)]),
            vec![room("a")],
            [0, 0, 1],
        ),
        (Some(vec![]), vec![], [0, 0, 0]),
        (Some(vec![room("nobody")]), vec![], [0, 0, 0]),
    ] {
        let set = set(of, except);
        let draws = || {
            [&a, &b, &c].map(|client| {
                client
                    .received()
                    .iter()
                    .filter(|event| *event == "draw")
                    .count()
            })
        };
        let before = draws();
        hub.send_to_sockets(&set, event()).await.unwrap();
        hub.flush_broadcasts().await;
        let after = draws();
        let got: Vec<_> = after
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .collect();
        assert_eq!(got, expected, "{set:?}");
        assert_eq!(
            hub.sockets(&set).len(),
            expected.iter().sum::<usize>(),
            "{set:?}"
        );
    }
}

#[tokio::test]
async fn sockets_join_and_leave_rooms_but_no_personal_room_of_others() {
    let hub = hub();
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    let (bob, _) = member(&hub, "bob", &[]).await;
    let [c, of_bob] = ["c", "user:bob"].map(|name| RoomName::parse(name).unwrap());
    hub.join_sockets(&set(None, vec![]), &[c.clone(), of_bob.clone()])
        .await;
    assert!(alice.is_in(&c) && bob.is_in(&c));
    assert!(!alice.is_in(&of_bob) && bob.is_in(&of_bob));
    let in_a = set(Some(vec![room("a")]), vec![]);
    hub.leave_sockets(&in_a, &[c.clone(), of_bob.clone()]).await;
    assert!(!alice.is_in(&c) && bob.is_in(&c));
    hub.leave_sockets(&set(None, vec![]), std::slice::from_ref(&of_bob))
        .await;
    assert!(bob.is_in(&of_bob));
}

#[tokio::test]
async fn the_sockets_and_rooms_of_another_namespace_are_apart() {
    let hub = hub();
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    let elsewhere = SocketSet {
        namespace: Namespace::parse("/other").unwrap(),
        of: Some(vec![SocketName::Connection(alice.id())]),
        except: Vec::new(),
    };
    assert!(hub.sockets(&elsewhere).is_empty());
    assert!(hub.rooms_of(&elsewhere.namespace).is_empty());
    let rooms = hub.rooms_of(&Namespace::root());
    assert!(rooms.contains(&RoomName::parse("a").unwrap()), "{rooms:?}");
}
