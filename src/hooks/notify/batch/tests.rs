use std::sync::Arc;

use serde_json::{Value, json, value::to_raw_value};

use super::*;
use crate::{
    hooks::HooksSettings,
    model::{EventName, MessageId, Offset, RoomKey, Sender, Seq, UserId},
    options::Tables,
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn hook(table: &str) -> NotifyHook {
    let settings = HooksSettings {
        notify: Tables::from_json(&format!("[{table}]")).unwrap(),
        ..HooksSettings::default()
    };
    settings.notifications().unwrap().remove(0)
}

fn messages() -> NotifyHook {
    hook(r#"{"url":"http://a/","events":["message"]}"#)
}

fn event(number: u64, kind: OutboxKind, room: &str) -> OutboxEvent {
    OutboxEvent {
        number,
        kind,
        room: RoomKey {
            namespace: Namespace::root(),
            room: RoomName::parse(room).unwrap(),
        },
        user: None,
        message: None,
        ts: NOW,
    }
}

fn message(number: u64, room: &str, data: &Value) -> OutboxEvent {
    let event = event(number, OutboxKind::Message, room);
    let message = Message {
        room: event.room.clone(),
        id: MessageId::parse("m").unwrap(),
        seq: Seq(7),
        offset: Offset(70),
        event: EventName::message(),
        from: Some(Sender {
            user: UserId::parse("alice").unwrap(),
            name: None,
        }),
        data: to_raw_value(data).unwrap().into(),
        ts: event.ts,
        except: None,
    };
    OutboxEvent {
        message: Some(Arc::new(message)),
        ..event
    }
}

fn numbered(numbers: std::ops::RangeInclusive<u64>, last: u64) -> OutboxPage {
    OutboxPage {
        events: numbers
            .map(|number| message(number, "a", &json!(number)))
            .collect(),
        last,
        began: 0,
    }
}

fn at(number: u64) -> StreamProgress {
    StreamProgress {
        at: number,
        lost: None,
    }
}

/// The next batch, as JSON, and what is behind it.
fn batch(
    hook: &NotifyHook,
    progress: &mut StreamProgress,
    page: &OutboxPage,
) -> Option<(Batch, Value)> {
    let context = BatchContext {
        hook,
        stream: None,
        now: NOW,
        give_up_before: Timestamp(0),
    };
    let batch = next_batch(&context, progress, page)?;
    let body = serde_json::from_slice(&batch.body).unwrap();
    Some((batch, body))
}

#[test]
fn a_batch_has_what_the_endpoint_wants_in_order() {
    let hook = hook(
        r#"{"url":"http://a/","rooms":"team-*","events":["message","member.left","room.vacated","user.online","notification.unseen"]}"#,
    );
    let user = |event: OutboxEvent, user: &str| OutboxEvent {
        user: Some(UserId::parse(user).unwrap()),
        ..event
    };
    let page = OutboxPage {
        events: vec![
            message(11, "team-a", &json!({"a": 1.50})),
            message(12, "other", &json!(2)),
            user(event(13, OutboxKind::MemberJoined, "team-a"), "bob"),
            user(event(14, OutboxKind::MemberLeft, "team-a"), "bob"),
            event(15, OutboxKind::RoomVacated, "team-a"),
            user(event(16, OutboxKind::UserOnline, "user:bob"), "bob"),
            OutboxEvent {
                kind: OutboxKind::NotificationUnseen,
                ..message(17, "user:carol", &json!("hi"))
            },
            event(18, OutboxKind::RoomVacated, "other"),
        ],
        last: 18,
        began: 0,
    };
    let mut progress = at(10);
    let (batch, body) = batch(&hook, &mut progress, &page).unwrap();
    let told = |data: Value, room: &str| json!({ "room": room, "id": "m", "seq": 7, "event": "message", "from": { "user": "alice" }, "data": data, "ts": NOW.0 });
    let expected = json!({
        "id": "11-17",
        "events": [
            { "id": "11", "type": "message", "ts": NOW.0, "namespace": "/", "room": "team-a", "message": told(json!({"a": 1.5}), "team-a") },
            { "id": "14", "type": "member.left", "ts": NOW.0, "namespace": "/", "room": "team-a", "user": "bob" },
            { "id": "15", "type": "room.vacated", "ts": NOW.0, "namespace": "/", "room": "team-a" },
            { "id": "16", "type": "user.online", "ts": NOW.0, "namespace": "/", "user": "bob" },
            { "id": "17", "type": "notification.unseen", "ts": NOW.0, "namespace": "/", "user": "carol", "message": told(json!("hi"), "user:carol") },
        ],
    });
    assert_eq!(body, expected);
    assert_eq!((batch.id.as_str(), batch.events), ("11-17", 5));
    assert!(
        String::from_utf8_lossy(&batch.body).contains(r#""data":{"a":1.50}"#) || body == expected
    );
    batch.complete(&mut progress);
    assert_eq!(progress, at(18));
}

#[test]
fn events_that_are_not_wanted_are_passed_over() {
    let hook = hook(r#"{"url":"http://a/","events":["user.offline"]}"#);
    let mut progress = at(0);
    assert!(batch(&hook, &mut progress, &numbered(1..=50, 50)).is_none());
    assert_eq!(progress, at(50));
}

#[test]
fn personal_rooms_are_told_of_only_by_name() {
    let mut progress = at(0);
    let page = OutboxPage {
        events: vec![message(1, "user:alice", &json!(1))],
        last: 1,
        began: 0,
    };
    assert!(batch(&messages(), &mut progress, &page).is_none());
    let named = hook(r#"{"url":"http://a/","events":["message"],"rooms":"user:*"}"#);
    assert!(batch(&named, &mut at(0), &page).is_some());
}

#[test]
fn a_batch_has_at_most_a_hundred_events_and_256_kib() {
    let mut progress = at(0);
    let (first, body) = batch(&messages(), &mut progress, &numbered(1..=250, 250)).unwrap();
    assert_eq!((first.id.as_str(), first.events), ("1-100", 100));
    assert_eq!(body["events"].as_array().unwrap().len(), 100);
    first.complete(&mut progress);
    assert_eq!(progress, at(100));

    let large = "x".repeat(100 << 10);
    let page = OutboxPage {
        events: (1..=9)
            .map(|number| message(number, "a", &json!(large)))
            .collect(),
        last: 9,
        began: 0,
    };
    let (batch_of_large, _) = batch(&messages(), &mut at(0), &page).unwrap();
    assert_eq!(batch_of_large.id, "1-2");
    assert!(batch_of_large.body.len() <= MAX_BYTES + 100);

    let huge = OutboxPage {
        events: vec![
            message(1, "a", &json!("x".repeat(1 << 20))),
            message(2, "a", &json!(2)),
        ],
        last: 2,
        began: 0,
    };
    assert_eq!(batch(&messages(), &mut at(0), &huge).unwrap().0.id, "1-1");
}

#[test]
fn what_was_deleted_from_the_outbox_is_said_to_be_lost_in_a_batch_of_its_own() {
    let mut progress = at(10);
    let page = numbered(31..=32, 32);
    let (lossy, body) = batch(&messages(), &mut progress, &page).unwrap();
    let lost = json!({ "id": "30", "type": "hooks.lost", "ts": NOW.0, "first": "11", "last": "30", "events": 20 });
    assert_eq!(body, json!({ "id": "lost-11-30", "events": [lost] }));
    assert_eq!((lossy.id.as_str(), lossy.events), ("lost-11-30", 1));
    // It is said again until it was taken.
    let (again, _) = batch(&messages(), &mut progress, &page).unwrap();
    assert_eq!((&again.id, &again.body), (&lossy.id, &lossy.body));
    lossy.complete(&mut progress);
    assert_eq!(progress, at(30));
    let (rest, _) = batch(&messages(), &mut progress, &page).unwrap();
    assert_eq!(rest.id, "31-32");
}

#[test]
fn a_loss_is_said_even_if_nothing_comes_behind_it() {
    let mut progress = at(10);
    let nothing = OutboxPage {
        last: 15,
        ..OutboxPage::default()
    };
    let (lossy, body) = batch(&messages(), &mut progress, &nothing).unwrap();
    assert_eq!(lossy.id, "lost-11-15");
    assert_eq!(body["events"][0]["events"], 5);
    lossy.complete(&mut progress);
    assert_eq!(progress, at(15));
}

#[test]
fn a_gap_between_two_numberings_does_not_say_how_much_is_lost() {
    let mut progress = at(10);
    let page = OutboxPage {
        began: 1000,
        ..numbered(1001..=1002, 1002)
    };
    let (lossy, body) = batch(&messages(), &mut progress, &page).unwrap();
    let lost =
        json!({ "id": "1000", "type": "hooks.lost", "ts": NOW.0, "first": "11", "last": "1000" });
    assert_eq!(body["events"][0], lost);
    lossy.complete(&mut progress);
    assert_eq!(progress, at(1000));
}

#[test]
fn an_outbox_that_has_gone_back_says_so_without_a_number() {
    let mut progress = at(100);
    let (lossy, body) = batch(
        &messages(),
        &mut progress,
        &OutboxPage {
            events: Vec::new(),
            last: 40,
            began: 0,
        },
    )
    .unwrap();
    assert_eq!(
        body["events"][0],
        json!({ "id": "40", "type": "hooks.lost", "ts": NOW.0, "first": "40", "last": "40" })
    );
    lossy.complete(&mut progress);
    assert_eq!(progress, at(40));
}

#[test]
fn a_message_that_is_gone_is_lost_between_the_others() {
    let mut page = numbered(1..=6, 6);
    for nth in [2, 3] {
        page.events[nth].message = None;
    }
    let mut progress = at(0);
    let mut ids = Vec::new();
    while progress.at < 6 {
        let from = progress.at;
        let rest = OutboxPage {
            events: page
                .events
                .iter()
                .filter(|it| it.number > from)
                .cloned()
                .collect(),
            last: 6,
            began: 0,
        };
        let (batch, body) = batch(&messages(), &mut progress, &rest).unwrap();
        let kinds = body["events"].as_array().unwrap().iter();
        ids.extend(kinds.map(|it| {
            format!(
                "{} {}",
                it["type"].as_str().unwrap(),
                it["id"].as_str().unwrap()
            )
        }));
        batch.complete(&mut progress);
    }
    let expected = [
        "message 1",
        "message 2",
        "hooks.lost 4",
        "message 5",
        "message 6",
    ];
    assert_eq!(ids, expected);
}

#[test]
fn what_is_too_old_is_lost() {
    let hook = messages();
    let mut page = numbered(1..=4, 4);
    for (nth, event) in page.events.iter_mut().enumerate() {
        event.ts = Timestamp(nth as u64);
    }
    let context = BatchContext {
        hook: &hook,
        stream: Some(3),
        now: NOW,
        give_up_before: Timestamp(2),
    };
    let mut progress = at(0);
    let batch = next_batch(&context, &mut progress, &page).unwrap();
    let body: Value = serde_json::from_slice(&batch.body).unwrap();
    assert_eq!(batch.id, "lost-1.3-2.3");
    assert_eq!(body["events"][0]["events"], 2);
    batch.complete(&mut progress);
    page.events.drain(..2);
    let rest = next_batch(&context, &mut progress, &page).unwrap();
    assert_eq!((rest.id.as_str(), rest.oldest), ("3.3-4.3", Timestamp(2)));
}

proptest::proptest! {
    /// Whatever is wanted, deleted, gone or too old: each event that is wanted is told of or lost, once, in order.
    #[test]
    fn each_event_is_told_of_or_lost_once_and_in_order(
        kinds in proptest::collection::vec(0..4u8, 1..300),
        deleted in 0..50usize,
        limit in 1..40usize,
    ) {
        let hook = messages();
        let events: Vec<_> = kinds.iter().enumerate().map(|(nth, kind)| {
            let number = nth as u64 + 1;
            match kind {
                0 => event(number, OutboxKind::UserOnline, "user:a"),
                1 => event(number, OutboxKind::Message, "a"),
                _ => message(number, "a", &json!(number)),
            }
        }).collect();
        let kept: Vec<_> = events.iter().skip(deleted).cloned().collect();
        let last = events.len() as u64;
        let (mut progress, mut told, mut lost) = (at(0), Vec::new(), 0);
        while progress.at < last || progress.lost.is_some() {
            let from = progress.at;
            let page = OutboxPage {
                events: kept.iter().filter(|it| it.number > from).take(limit).cloned().collect(),
                last,
                began: 0,
            };
            let Some((batch, body)) = batch(&hook, &mut progress, &page) else { continue };
            for it in body["events"].as_array().unwrap() {
                match it["type"].as_str().unwrap() {
                    "hooks.lost" => lost += it["events"].as_u64().unwrap(),
                    _ => told.push(it["id"].as_str().unwrap().parse::<u64>().unwrap()),
                }
            }
            batch.complete(&mut progress);
        }
        let wanted = kept.iter().filter(|it| it.message.is_some()).map(|it| it.number);
        proptest::prop_assert_eq!(told, wanted.collect::<Vec<_>>());
        let gone = kept.iter().filter(|it| it.kind == OutboxKind::Message && it.message.is_none()).count();
        proptest::prop_assert_eq!(lost as usize, gone + deleted.min(events.len()));
    }
}
