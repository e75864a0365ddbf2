//! Reading a room along.

use super::*;
use crate::hub::testing::{hub, key, member, name, publish};
use crate::model::Namespace;

async fn tail(hub: &Hub, room: &str, history: usize) -> RoomTail {
    let back_end = StatelessCaller::back_end(Namespace::root());
    hub.tail(&back_end, &name(room), history).await.unwrap()
}

async fn next(tail: &mut RoomTail) -> String {
    match tail.next().await.unwrap() {
        TailEvent::Message(message) => format!("{} {}", message.seq, message.data),
        TailEvent::Event(event) => event.arguments().name.to_string(),
        TailEvent::Skipped(events) => format!("skipped {events}"),
    }
}

#[tokio::test]
async fn a_reader_gets_the_last_messages_and_then_the_live_ones_once_each() {
    let hub = hub();
    for number in 1..=5 {
        publish(&hub, "lobby", number).await;
    }
    let mut tail = tail(&hub, "lobby", 2).await;
    publish(&hub, "lobby", 6).await;
    for expected in ["4 4", "5 5", "6 6"] {
        assert_eq!(next(&mut tail).await, expected);
    }
}

#[tokio::test]
async fn a_reader_is_no_member_and_leaves_no_room_behind() {
    let hub = hub();
    let tail = tail(&hub, "empty", 0).await;
    assert!(hub.rooms().members(&key("empty")).is_empty());
    assert!(!hub.rooms().is_occupied(&key("empty")));
    assert_eq!(hub.rooms().keys(), [key("empty")]);
    drop(tail);
    assert!(hub.rooms().keys().is_empty());
}

#[tokio::test]
async fn a_room_outlives_its_members_while_it_is_read() {
    let hub = hub();
    let (alice, _client) = member(&hub, "alice", &["lobby"]).await;
    let mut tail = tail(&hub, "lobby", 0).await;
    hub.disconnect(&alice);
    publish(&hub, "lobby", 1).await;
    assert_eq!(next(&mut tail).await, "1 1");
}

#[tokio::test]
async fn a_slow_reader_is_told_how_much_it_missed() {
    let hub = hub();
    let mut tail = tail(&hub, "lobby", 0).await;
    for number in 1..=200 {
        publish(&hub, "lobby", number).await;
    }
    assert_eq!(next(&mut tail).await, "skipped 72");
    for number in 1..=128 {
        assert_eq!(next(&mut tail).await, format!("{number} {number}"));
    }
    publish(&hub, "lobby", 201).await;
    assert_eq!(next(&mut tail).await, "201 201");
}
