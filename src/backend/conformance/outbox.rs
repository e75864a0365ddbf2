//! What back ends are told, in which order, and how far each was told.

use super::*;
use crate::{
    error::Code,
    model::{RoomName, UserId},
};

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

/// Every room keeps so many messages for so long.
fn all_rooms(messages: u64, age: Duration) -> Retention {
    Retention {
        default: policy(messages, age),
        ..Retention::default()
    }
}

/// A draft that is told of.
fn told(room: &str, data: &str) -> Draft {
    Draft {
        entries: MessageEntries {
            message: true,
            unseen: false,
        },
        ..draft(room, data)
    }
}

/// An event in a line: what, and of whom.
fn line(event: &OutboxEvent) -> String {
    let of = match (&event.user, &event.message) {
        (Some(user), _) => user.to_string(),
        (None, Some(message)) => message.data.get().to_owned(),
        (None, None) => "-".to_owned(),
    };
    format!("{} {} {of}", event.kind.as_str(), event.room.room)
}

impl Fixture {
    /// All events that are kept, stream by stream.
    async fn outbox(&self) -> Vec<OutboxEvent> {
        let mut events = Vec::new();
        for stream in 0..self.log.streams() {
            let page = self
                .log
                .read_events(stream, 0, 1 << 20, 1 << 30)
                .await
                .unwrap();
            assert!(
                page.events
                    .last()
                    .is_none_or(|last| last.number == page.last)
            );
            events.extend(page.events);
        }
        events
    }

    /// What the outbox has, once that are `count` events.
    async fn told(&self, count: usize) -> Vec<String> {
        let came = async {
            while self.outbox().await.len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(20), came).await;
        let lines: Vec<_> = self.outbox().await.iter().map(line).collect();
        assert!(came.is_ok() && lines.len() == count, "{lines:?}");
        lines
    }

    fn set(&self, room: &str, name: &str, is_member: bool) {
        self.log.set_member(&key("/", room), &user(name), is_member);
    }
}

pub(super) async fn the_outbox_has_what_happened_in_order(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.send(told("a", "1")).await;
    fixture.set("a", "alice", true);
    fixture.told(3).await;
    fixture.send(told("a", "2")).await;
    fixture.set("a", "bob", true);
    fixture.set("a", "alice", false);
    let lines = fixture.told(6).await;
    let expected = [
        "message a 1",
        "room.occupied a -",
        "member.joined a alice",
        "message a 2",
        "member.joined a bob",
        "member.left a alice",
    ];
    assert_eq!(lines, expected);
    let events = fixture.outbox().await;
    let first = events[0].number;
    for (nth, event) in events.iter().enumerate() {
        assert_eq!(event.number, first + nth as u64);
        assert_eq!(event.ts, fixture.clock.now());
        assert_eq!(event.room, key("/", "a"));
    }
    let message = events[3].message.as_ref().unwrap();
    assert_eq!(
        (message.seq, &*message.event.to_string()),
        (Seq(2), "message")
    );
}

pub(super) async fn a_message_is_in_the_outbox_as_often_as_its_draft_says_and_a_repeat_is_not(
    kind: LogKind,
) {
    let fixture = kind.open(Retention::default()).await;
    let entries = |message, unseen| MessageEntries { message, unseen };
    for (id, entries) in [
        ("none", entries(false, false)),
        ("unseen", entries(false, true)),
        ("both", entries(true, true)),
    ] {
        for _ in 0..2 {
            let named = named("user:räuber", id);
            let data = draft("x", &format!("{id:?}")).data;
            fixture
                .send(Draft {
                    entries,
                    data,
                    ..named
                })
                .await;
        }
    }
    let expected = [
        "notification.unseen user:räuber \"unseen\"",
        "message user:räuber \"both\"",
        "notification.unseen user:räuber \"both\"",
    ];
    assert_eq!(fixture.told(3).await, expected);
}

pub(super) async fn a_message_of_a_room_that_keeps_none_is_not_in_the_outbox(kind: LogKind) {
    let fixture = kind.open(all_rooms(0, Duration::MAX)).await;
    fixture.send(told("a", "1")).await;
    fixture.set("a", "alice", true);
    assert_eq!(
        fixture.told(2).await,
        ["room.occupied a -", "member.joined a alice"]
    );
}

pub(super) async fn a_message_that_is_gone_from_the_log_leaves_its_entry(kind: LogKind) {
    let fixture = kind.open(all_rooms(1000, Duration::from_secs(60))).await;
    fixture.send(told("a", "1")).await;
    fixture.clock.advance(Duration::from_secs(61));
    fixture.send(told("a", "2")).await;
    fixture.log.trim_all(fixture.clock.now()).await;
    assert_eq!(fixture.told(2).await, ["message a -", "message a 2"]);
    // The number is given anew when the room is forgotten, and is another message then.
    fixture.clock.advance(Duration::from_secs(30 * 24 * 3600));
    for _ in 0..3 {
        fixture.log.trim_all(fixture.clock.now()).await;
    }
    fixture.send(told("a", "3")).await;
    assert_eq!(
        fixture.told(3).await,
        ["message a -", "message a -", "message a 3"]
    );
}

pub(super) async fn only_the_first_and_the_last_member_occupy_and_vacate_a_room(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    for (name, is_member) in [
        ("a", true),
        ("b", true),
        ("a", false),
        ("b", false),
        ("a", true),
    ] {
        fixture.set("r", name, is_member);
    }
    let expected = [
        "room.occupied r -",
        "member.joined r a",
        "member.joined r b",
        "member.left r a",
        "member.left r b",
        "room.vacated r -",
        "room.occupied r -",
        "member.joined r a",
    ];
    assert_eq!(fixture.told(8).await, expected);
}

pub(super) async fn setting_a_member_again_adds_nothing(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.set("r", "nobody", false);
    for _ in 0..3 {
        fixture.set("r", "\u{e4}:b", true);
        fixture.set("r\u{e4}", "\"", true);
    }
    for _ in 0..3 {
        fixture.set("r", "\u{e4}:b", false);
    }
    fixture.told(6).await;
    fixture.set("r", "\u{e4}:b", true);
    fixture.told(8).await;
}

pub(super) async fn a_personal_room_says_when_its_user_comes_and_goes(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let room = RoomName::personal(&user("alice"));
    for is_member in [true, true, false, true] {
        fixture.set(room.as_str(), "alice", is_member);
    }
    let expected = [
        "user.online user:alice alice",
        "user.offline user:alice alice",
        "user.online user:alice alice",
    ];
    assert_eq!(fixture.told(3).await, expected);
}

pub(super) async fn the_outbox_is_read_in_pages(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    for nth in 10..30 {
        fixture.send(told("a", &nth.to_string())).await;
    }
    fixture.told(20).await;
    let all = fixture.outbox().await;
    let mut of_room = 0;
    for stream in 0..fixture.log.streams() {
        let page = fixture.log.read_events(stream, 0, 1, 100).await.unwrap();
        if !page.events.is_empty() {
            of_room = stream;
        }
    }
    let page = async |after: u64, limit: usize, bytes: usize| {
        let page = fixture
            .log
            .read_events(of_room, after, limit, bytes)
            .await
            .unwrap();
        // Whoever has seen more than there is shows that events are lost, and numbers may go on above that.
        assert!(page.last == all[19].number || (after > all[19].number && page.last >= after));
        let numbers: Vec<_> = page.events.iter().map(|it| it.number).collect();
        numbers
    };
    let numbers: Vec<_> = all.iter().map(|it| it.number).collect();
    assert_eq!(page(0, 3, 100).await, numbers[..3]);
    assert_eq!(page(numbers[2], 100, 1000).await, numbers[3..]);
    assert_eq!(page(numbers[2], 100, 9).await, numbers[3..7]);
    assert_eq!(page(numbers[2], 100, 0).await, numbers[3..4]);
    assert_eq!(page(numbers[19], 100, 100).await, [0; 0]);
    assert_eq!(page(numbers[19] + 7, 100, 100).await, [0; 0]);
}

pub(super) async fn the_oldest_events_are_deleted_when_there_are_too_many(kind: LogKind) {
    let fixture = kind.open_with(Retention::default(), 100).await;
    for nth in 0..1000 {
        fixture.send(told("a", &nth.to_string())).await;
    }
    let events = fixture.outbox().await;
    assert!((100..500).contains(&events.len()), "{}", events.len());
    let first = 1000 - events.len();
    for (nth, event) in events.iter().enumerate() {
        assert_eq!(line(event), format!("message a {}", first + nth));
    }
}

pub(super) async fn whoever_waits_for_events_is_woken(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let within = Duration::from_secs(10);
    fixture.send(told("a", "1")).await;
    tokio::time::timeout(within, fixture.log.events_added())
        .await
        .unwrap();
    fixture.set("a", "alice", true);
    tokio::time::timeout(within, fixture.log.events_added())
        .await
        .unwrap();
}

pub(super) async fn an_endpoint_has_what_was_saved_last(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let log = &fixture.log;
    let none = log.find_endpoint("one").await.unwrap();
    assert_eq!((none.state, none.owner), (None, None));
    assert!(log.claim_endpoint("one").await.unwrap().is_mine);
    assert!(log.claim_endpoint("two").await.unwrap().is_mine);
    for state in ["{}", r#"{"at":[7,"ü"]}"#] {
        assert!(log.save_endpoint("one", state.to_owned()).await.unwrap());
        let record = log.claim_endpoint("one").await.unwrap();
        assert_eq!(
            (record.is_mine, record.state.as_deref()),
            (true, Some(state))
        );
    }
    assert_eq!(log.find_endpoint("two").await.unwrap().state, None);
    log.release_endpoint("one").await;
    let record = log.find_endpoint("one").await.unwrap();
    assert_eq!(record.state.as_deref(), Some(r#"{"at":[7,"ü"]}"#));
    assert_eq!(record.owner, None);
}

pub(super) async fn a_closed_log_has_no_outbox(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.log.close().await;
    fixture.set("a", "alice", true);
    let read = fixture.log.read_events(0, 0, 1, 1).await;
    assert_eq!(read.unwrap_err().code(), Code::Unavailable);
    let claimed = fixture.log.claim_endpoint("one").await;
    assert_eq!(claimed.unwrap_err().code(), Code::Unavailable);
    let saved = fixture.log.save_endpoint("one", String::new()).await;
    assert_eq!(saved.unwrap_err().code(), Code::Unavailable);
}
