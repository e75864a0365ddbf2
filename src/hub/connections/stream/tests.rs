//! Streams send every message once, in order, or say that some are missing.

use std::sync::Arc;
use std::time::Duration;

use crate::{
    auth::{Grants, Permission},
    backend::{Retention, RetentionPolicy, memory},
    hooks::ClientFacts,
    hub::testing::{RecordingClient, connect, hub, hub_with_memory, name, publish},
    hub::{Connection, Hub, PreparedStream, StatelessCaller, StreamRequest, StreamStart},
    model::{Cursor, Epoch, Incarnation, Namespace, Offset, Position, RoomName, Seq, Timestamp},
    sync::lock,
};

fn rooms(names: &[&str]) -> Vec<RoomName> {
    let parse = |name: &&str| RoomName::parse(name).unwrap();
    names.iter().map(parse).collect()
}

fn stream(names: &[&str], since: Option<StreamStart>, history: usize) -> StreamRequest {
    StreamRequest {
        rooms: rooms(names).into_iter().collect(),
        since,
        history,
    }
}

/// Begins a stream; answers its client, where it begins, and the rooms that were reset.
async fn begin(
    hub: &Hub,
    stream: StreamRequest,
) -> (Arc<Connection>, Arc<RecordingClient>, Cursor, Vec<String>) {
    let principal = hub.authority().open_principal(Some("eve")).unwrap();
    let prepared = hub
        .prepare_stream(Namespace::root(), principal, stream, ClientFacts::default())
        .await;
    let PreparedStream {
        prepared,
        cursor,
        resets,
    } = prepared.unwrap();
    let (connection, client) = connect(hub, prepared).await;
    let resets = resets.iter().map(|reset| reset.room.to_string());
    (connection, client, cursor, resets.collect())
}

fn after(hub: &Hub, client: &RecordingClient) -> Option<StreamStart> {
    let offset = lock(&client.offset).expect("something was received");
    Some(StreamStart::Cursor(hub.cursor(offset, Timestamp::now())))
}

/// A hub whose rooms keep `messages`.
fn hub_that_keeps(messages: u64) -> Hub {
    hub_with_memory(memory::MemoryConfig {
        retention: Retention {
            default: RetentionPolicy {
                messages,
                age: Duration::from_secs(3600),
            },
            ..Retention::default()
        },
        ..memory::MemoryConfig::default()
    })
}

/// The present position of room `a`.
async fn position(hub: &Hub) -> Position {
    let back_end = StatelessCaller::back_end(Namespace::root());
    let room = hub.room(&back_end, name("a")).await.unwrap();
    Position {
        epoch: room.epoch,
        seq: room.seq,
    }
}

#[tokio::test]
async fn a_stream_begins_now_and_goes_on_behind_what_it_was_given_last_of_any_room() {
    let hub = hub();
    publish(&hub, "a", 1).await;
    let (eve, client, ..) = begin(&hub, stream(&["a", "b"], None, 0)).await;
    for (room, number) in [("a", 2), ("b", 3)] {
        publish(&hub, room, number).await;
    }
    client.receives(&["session", "a 2", "b 3"]).await;
    hub.disconnect(&eve);
    for (room, number) in [("b", 4), ("elsewhere", 5), ("a", 6), ("user:eve", 7)] {
        publish(&hub, room, number).await;
    }
    let since = after(&hub, &client);
    let (_eve, client, _, resets) = begin(&hub, stream(&["a", "b"], since, 9)).await;
    publish(&hub, "b", 8).await;
    let expected = ["session", "b 4", "a 6", "user:eve 7", "b 8"];
    client.receives(&expected).await;
    assert!(resets.is_empty(), "{resets:?}");
}

#[tokio::test]
async fn the_last_messages_of_several_rooms_come_in_the_order_they_were_stored() {
    let hub = hub();
    for number in 1..=6 {
        publish(&hub, if number % 2 == 0 { "a" } else { "b" }, number).await;
    }
    let (_eve, client, cursor, resets) = begin(&hub, stream(&["a", "b"], None, 2)).await;
    publish(&hub, "a", 7).await;
    client
        .receives(&["session", "b 3", "a 4", "b 5", "a 6", "a 7"])
        .await;
    assert!(resets.is_empty(), "{resets:?}");
    assert_eq!(cursor.offset, Offset(2), "the third is the first of these");
}

#[tokio::test]
async fn a_stream_that_was_cut_before_its_first_message_goes_on_where_it_began() {
    let hub = hub();
    let (eve, _, cursor, _) = begin(&hub, stream(&["a"], None, 0)).await;
    hub.disconnect(&eve);
    publish(&hub, "a", 1).await;
    let since = Some(StreamStart::Cursor(cursor));
    let (_eve, client, ..) = begin(&hub, stream(&["a"], since, 0)).await;
    client.receives(&["session", "a 1"]).await;
}

#[tokio::test]
async fn one_room_goes_on_behind_a_position_and_begins_anew_behind_one_that_is_none() {
    let hub = hub();
    for number in 1..=3 {
        publish(&hub, "a", number).await;
    }
    let epoch = position(&hub).await.epoch;
    let at = |epoch: &Epoch, seq| {
        let epoch = epoch.clone();
        Some(StreamStart::Position(Position {
            epoch,
            seq: Seq(seq),
        }))
    };
    for (since, expected, reset) in [
        (at(&epoch, 0), vec!["session", "a 1", "a 2", "a 3"], false),
        (at(&epoch, 2), vec!["session", "a 3"], false),
        (at(&epoch, 3), vec!["session"], false),
        (at(&epoch, 4), vec!["session", "a 3"], true),
        (at(&Epoch::generate(), 1), vec!["session", "a 3"], true),
    ] {
        let (eve, client, _, resets) = begin(&hub, stream(&["a"], since.clone(), 1)).await;
        client.receives(&expected).await;
        assert_eq!(!resets.is_empty(), reset, "{since:?}");
        hub.disconnect(&eve);
    }
}

#[tokio::test]
async fn a_stream_that_begins_behind_the_last_of_its_room_is_not_given_later_what_came_before() {
    let hub = hub();
    publish(&hub, "a", 1).await;
    publish(&hub, "user:eve", 2).await;
    let Position { epoch, seq } = position(&hub).await;
    let since = Some(StreamStart::Position(Position { epoch, seq }));
    let (eve, client, cursor, _) = begin(&hub, stream(&["a"], since, 0)).await;
    client.receives(&["session"]).await;
    hub.disconnect(&eve);
    let since = Some(StreamStart::Cursor(cursor));
    let (_eve, client, ..) = begin(&hub, stream(&["a"], since, 0)).await;
    publish(&hub, "a", 3).await;
    client.receives(&["session", "a 3"]).await;
}

#[tokio::test]
async fn only_rooms_of_which_something_is_gone_begin_anew() {
    let hub = hub_that_keeps(2);
    publish(&hub, "a", 1).await;
    let (eve, client, ..) = begin(&hub, stream(&["a", "b"], None, 0)).await;
    publish(&hub, "b", 2).await;
    client.receives(&["session", "b 2"]).await;
    hub.disconnect(&eve);
    for number in 3..200 {
        publish(&hub, "a", number).await;
    }
    publish(&hub, "b", 200).await;
    let since = after(&hub, &client);
    let (_eve, client, _, resets) = begin(&hub, stream(&["a", "b"], since, 1)).await;
    assert_eq!(resets, ["a"]);
    client.receives(&["session", "a 199", "b 200"]).await;
}

#[tokio::test]
async fn a_cursor_of_another_log_or_from_the_future_or_too_old_is_none() {
    let hub = hub();
    publish(&hub, "a", 1).await;
    let good = hub.cursor(Offset(0), Timestamp::now());
    let week = Duration::from_secs(7 * 24 * 3600);
    for (what, cursor) in [
        (
            "another log",
            Cursor {
                incarnation: Incarnation::generate(),
                ..good.clone()
            },
        ),
        (
            "the future",
            Cursor {
                offset: Offset(99),
                ..good.clone()
            },
        ),
        (
            "too old",
            Cursor {
                ts: Timestamp::now().before(week),
                ..good.clone()
            },
        ),
    ] {
        let since = Some(StreamStart::Cursor(cursor));
        let (eve, client, _, resets) = begin(&hub, stream(&["a"], since, 0)).await;
        assert!(resets.contains(&"a".to_owned()), "{what}");
        client.receives(&["session"]).await;
        hub.disconnect(&eve);
    }
}

#[tokio::test]
async fn who_may_not_read_the_past_begins_anew_and_may_not_ask_for_it() {
    let hub = hub();
    publish(&hub, "a", 1).await;
    let mut principal = hub.authority().open_principal(Some("eve")).unwrap();
    principal.grants = Arc::new(Grants::parse("a=join").unwrap());
    assert!(!principal.may(Permission::History, &rooms(&["a"])[0]));
    let cursor = hub.cursor(Offset(0), Timestamp::now());
    let here = Namespace::root();
    let since = stream(&["a"], Some(StreamStart::Cursor(cursor)), 0);
    let prepared = hub
        .prepare_stream(
            here.clone(),
            principal.clone(),
            since,
            ClientFacts::default(),
        )
        .await;
    assert_eq!(prepared.unwrap().resets.len(), 1);
    for (stream, may) in [
        (stream(&["a"], None, 0), true),
        (stream(&["a"], None, 1), false),
        (stream(&["a", "b"], None, 0), false),
        (stream(&["user:bob"], None, 0), false),
    ] {
        let begun = hub
            .prepare_stream(
                here.clone(),
                principal.clone(),
                stream.clone(),
                ClientFacts::default(),
            )
            .await;
        assert_eq!(begun.is_ok(), may, "{stream:?}");
    }
}
