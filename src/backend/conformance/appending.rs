//! Order, numbers, repeats and deliveries.

use super::*;
use bytes::Bytes;

use crate::{
    backend::BusEvent,
    error::Code,
    model::{Audience, Broadcast, Ephemeral, EventPayload, RoomName, UserId},
};

pub(super) async fn drafts_are_stored_in_the_order_they_were_accepted(kind: LogKind) {
    let mut fixture = kind.open(Retention::default()).await;
    let senders: Vec<_> = (0..10)
        .map(|sender| {
            let log = fixture.log.clone();
            tokio::spawn(async move {
                let mut receipts = Vec::new();
                for nth in 0..100 {
                    let data = format!("[{sender},{nth}]");
                    receipts.push(log.append(draft("r", &data)).await.unwrap());
                    tokio::task::yield_now().await;
                }
                let mut seqs = Vec::new();
                for receipt in receipts {
                    seqs.push(receipt.wait().await.unwrap().seq);
                }
                seqs
            })
        })
        .collect();
    for sender in senders {
        assert!(sender.await.unwrap().is_sorted());
    }
    let page = fixture.page("r", Range::After(Seq(0)), 2000).await;
    assert_eq!(seqs(&page), (1..=1000).collect::<Vec<_>>());
    let mut next = [0; 10];
    for message in &page.messages {
        let [sender, nth]: [usize; 2] = serde_json::from_str(message.data.get()).unwrap();
        assert_eq!(nth, next[sender], "sender {sender}");
        next[sender] += 1;
        let (delivered, _) = fixture.delivered().unwrap();
        assert_eq!(
            (delivered.seq, delivered.offset),
            (message.seq, message.offset)
        );
    }
    assert_eq!(next, [100; 10]);
}

pub(super) async fn offsets_grow_over_all_rooms_of_a_namespace_and_namespaces_are_apart(
    kind: LogKind,
) {
    let mut fixture = kind.open(Retention::default()).await;
    for (namespace, room) in [
        ("/", "a"),
        ("/", "b"),
        ("/chat", "a"),
        ("/", "a"),
        ("/chat", "a"),
    ] {
        let draft = Draft {
            room: key(namespace, room),
            ..draft("-", "1")
        };
        fixture.send(draft).await;
    }
    let mut seen = Vec::new();
    while let Some((message, _)) = fixture.delivered() {
        let room = format!("{}{}", message.room.namespace, message.room.room);
        seen.push((room, message.seq.0, message.offset));
    }
    let [root, chat]: [Vec<_>; 2] = [false, true].map(|chat| {
        let of = seen.iter().filter(|it| it.0.starts_with("/chat") == chat);
        of.cloned().collect()
    });
    let rooms = |seen: &[(String, u64, Offset)]| -> Vec<_> {
        seen.iter().map(|it| format!("{} {}", it.0, it.1)).collect()
    };
    assert_eq!(rooms(&root), ["/a 1", "/b 1", "/a 2"]);
    assert_eq!(rooms(&chat), ["/chata 1", "/chata 2"]);
    for one in [root, chat] {
        assert!(one.is_sorted_by(|a, b| a.2 < b.2), "{one:?}");
    }
}

pub(super) async fn a_repeated_id_returns_the_first_result_and_is_stored_once(kind: LogKind) {
    let mut fixture = kind.open(Retention::default()).await;
    // Both may be in one transaction.
    let first = fixture.log.append(named("r", "one")).await.unwrap();
    let again = fixture.log.append(named("r", "one")).await.unwrap();
    let first = first.wait().await.unwrap();
    let again = again.wait().await.unwrap();
    assert!(!first.duplicate);
    let repeat = Appended {
        duplicate: true,
        ..first.clone()
    };
    assert_eq!(again, repeat);

    fixture.clock.advance(Duration::from_secs(60));
    let other = fixture.send(named("r", "two")).await;
    assert_eq!((other.seq, other.duplicate), (Seq(2), false));
    assert_eq!(fixture.send(named("r", "one")).await, repeat);
    let other_room = fixture.send(named("s", "one")).await;
    assert_eq!((other_room.seq, other_room.duplicate), (Seq(1), false));

    assert_eq!(fixture.stored_seqs("r").await, [1, 2]);
    let ids: Vec<_> = std::iter::from_fn(|| fixture.delivered())
        .map(|(message, _)| format!("{} {}", message.room.room, message.id))
        .collect();
    assert_eq!(ids, ["r one", "r two", "s one"]);
}

pub(super) async fn an_id_is_remembered_after_its_message_was_deleted_until_its_window_ends(
    kind: LogKind,
) {
    let fixture = kind
        .open(Retention {
            default: policy(100, Duration::from_secs(10)),
            policies: Vec::new(),
            rules: Vec::new(),
        })
        .await;
    let first = fixture.send(named("r", "one")).await;
    fixture.clock.advance(DEFAULT_IDEMPOTENCY_WINDOW);
    fixture.log.trim_all(fixture.clock.now()).await;
    assert_eq!(fixture.stored_seqs("r").await, [0; 0]);
    let again = fixture.send(named("r", "one")).await;
    assert_eq!(
        (again.seq, again.ts, again.duplicate),
        (Seq(1), first.ts, true)
    );

    fixture.clock.advance(Duration::from_millis(1));
    let second = fixture.send(named("r", "one")).await;
    assert_eq!((second.seq, second.duplicate), (Seq(2), false));
    fixture.log.trim_all(fixture.clock.now()).await;
    assert!(
        fixture.send(named("r", "one")).await.duplicate,
        "a new window has begun"
    );
}

pub(super) async fn a_message_is_delivered_before_its_receipt_is_settled(kind: LogKind) {
    let mut fixture = kind.open(Retention::default()).await;
    for nth in 1..=100 {
        let except = (nth % 2 == 0).then(ConnectionId::generate);
        let appended = fixture
            .send(Draft {
                except,
                ..draft("r", "1")
            })
            .await;
        let (message, not_to) = fixture
            .delivered()
            .expect("delivered before it was settled");
        assert_eq!((&message.id, message.seq), (&appended.id, Seq(nth)));
        assert_eq!(not_to, except);
        assert!(fixture.delivered().is_none());
    }
}

pub(super) async fn a_draft_whose_receipt_is_dropped_is_stored(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    drop(fixture.log.append(draft("r", "1")).await.unwrap());
    assert_eq!(fixture.send(draft("r", "2")).await.seq, Seq(2));
    assert_eq!(fixture.stored_seqs("r").await, [1, 2]);
}

pub(super) async fn everything_about_a_message_comes_back_as_it_was_sent(kind: LogKind) {
    let mut fixture = kind.open(Retention::default()).await;
    let datas = [
        "12345678901234567890",
        "1.0",
        "1e400",
        r#"{"b":1,"a":2, "b":3}"#,
        r#""\u0000\ud83d""#,
        r#""räume 🦀""#,
        "null",
    ];
    for data in datas {
        for name in [None, Some("Alice")] {
            let from = Some(Sender {
                user: UserId::parse("alice").unwrap(),
                name: name.map(Into::into),
            });
            let event = EventName::parse("price").unwrap();
            fixture
                .send(Draft {
                    from,
                    event,
                    ..named("r", "x")
                })
                .await;
            fixture
                .send(Draft {
                    from: None,
                    ..draft("r", data)
                })
                .await;
        }
    }
    let page = fixture.page("r", Range::Last, 100).await;
    assert_eq!(page.messages.len(), 1 + 2 * datas.len());
    for message in &page.messages {
        let (delivered, _) = fixture.delivered().unwrap();
        assert_eq!(format!("{message:?}"), format!("{delivered:?}"));
    }
    let first = &page.messages[0];
    assert_eq!((first.event.as_str(), first.id.as_str()), ("price", "x"));
    assert_eq!(first.from.as_ref().unwrap().user.as_str(), "alice");
    let stored: Vec<_> = page.messages[1..]
        .iter()
        .map(|message| message.data.get())
        .collect();
    assert_eq!(stored, datas.map(|data| [data; 2]).concat());
}

pub(super) async fn an_event_sent_after_a_settled_append_is_delivered_after_it(kind: LogKind) {
    let mut fixture = kind.open(Retention::default()).await;
    for _ in 0..50 {
        fixture.send(draft("r", "1")).await;
        let event = Ephemeral {
            room: key("/", "r"),
            id: None,
            event: EventName::parse("cursor").unwrap(),
            from: None,
            data: draft("r", "2").data,
            ts: fixture.clock.now(),
        };
        let event = BusEvent::Ephemeral(Arc::new(event), None);
        fixture.bus.send(event).await.unwrap();
        assert!(matches!(fixture.next_now(), Some(Delivery::Message(..))));
        // It may come from elsewhere, which takes a moment.
        assert!(matches!(
            fixture.next().await,
            Some(Delivery::Event(BusEvent::Ephemeral(..)))
        ));
    }
}

pub(super) async fn a_broadcast_is_delivered_as_it_was_sent_after_what_was_settled_before(
    kind: LogKind,
) {
    let mut fixture = kind.open(Retention::default()).await;
    let rooms = ["r", "s"].map(|room| RoomName::parse(room).unwrap());
    let one = Audience::Rooms(vec![rooms[0].clone()]);
    for to in [one, Audience::Rooms(rooms.into()), Audience::Everybody] {
        fixture.send(draft("r", "1")).await;
        let broadcast = Arc::new(Broadcast {
            namespace: Namespace::root(),
            to,
            except: Vec::new(),
            except_rooms: Vec::new(),
            event: EventPayload {
                text: r#"["draw",1.0]"#.into(),
                attachments: vec![Bytes::from_static(b"\n\xff")],
            },
        });
        let event = BusEvent::Broadcast(broadcast.clone());
        fixture.bus.send(event).await.unwrap();
        assert!(matches!(fixture.next_now(), Some(Delivery::Message(..))));
        let Some(Delivery::Event(BusEvent::Broadcast(event))) = fixture.next().await else {
            panic!("a broadcast is delivered");
        };
        assert_eq!(event, broadcast);
    }
}

pub(super) async fn appends_continue_when_the_deliveries_are_dropped(kind: LogKind) {
    let mut fixture = kind.open(Retention::default()).await;
    fixture.deliveries.close();
    assert_eq!(fixture.send(draft("r", "1")).await.seq, Seq(1));
    assert_eq!(fixture.stored_seqs("r").await, [1]);
}

pub(super) async fn closing_stores_what_was_accepted_and_rejects_the_rest(kind: LogKind) {
    let mut fixture = kind.open(Retention::default()).await;
    fixture.log.ready().await.unwrap();
    let mut receipts = Vec::new();
    for _ in 0..500 {
        receipts.push(fixture.log.append(draft("r", "1")).await.unwrap());
    }
    tokio::join!(fixture.log.close(), fixture.log.close());
    for (receipt, nth) in receipts.into_iter().zip(1..) {
        assert_eq!(receipt.wait().await.unwrap().seq, Seq(nth));
        assert_eq!(fixture.delivered().unwrap().0.seq, Seq(nth));
    }
    let size = PageSize {
        messages: 1,
        bytes: 1,
    };
    let read = fixture.log.read(&key("/", "r"), Range::Last, size).await;
    assert_eq!(read.unwrap_err().code(), Code::Unavailable);
    let append = fixture.log.append(draft("r", "1")).await;
    assert_eq!(append.unwrap_err().code(), Code::Unavailable);
    assert_eq!(
        fixture.log.ready().await.unwrap_err().code(),
        Code::Unavailable
    );
}
