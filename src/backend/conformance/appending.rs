//! Order, numbers, repeats and deliveries.

use super::*;
use crate::{error::Code, model::UserId};

pub(super) async fn drafts_are_stored_in_the_order_they_were_accepted(kind: Kind) {
    let mut rig = kind.rig(Retention::default()).await;
    let senders: Vec<_> = (0..10)
        .map(|sender| {
            let log = rig.log.clone();
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
    let page = rig.page("r", Range::After(Seq(0)), 2000).await;
    assert_eq!(seqs(&page), (1..=1000).collect::<Vec<_>>());
    let mut next = [0; 10];
    for message in &page.messages {
        let [sender, nth]: [usize; 2] = serde_json::from_str(message.data.get()).unwrap();
        assert_eq!(nth, next[sender], "sender {sender}");
        next[sender] += 1;
        let (delivered, _) = rig.delivered().unwrap();
        assert_eq!(
            (delivered.seq, delivered.offset),
            (message.seq, message.offset)
        );
    }
    assert_eq!(next, [100; 10]);
}

pub(super) async fn offsets_grow_over_all_rooms_of_a_namespace_and_namespaces_are_apart(
    kind: Kind,
) {
    let mut rig = kind.rig(Retention::default()).await;
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
        rig.send(draft).await;
    }
    let mut seen = Vec::new();
    while let Some((message, _)) = rig.delivered() {
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

pub(super) async fn an_id_again_is_answered_with_the_first_result_and_stored_once(kind: Kind) {
    let mut rig = kind.rig(Retention::default()).await;
    // Both may be in one transaction.
    let first = rig.log.append(named("r", "one")).await.unwrap();
    let again = rig.log.append(named("r", "one")).await.unwrap();
    let first = first.wait().await.unwrap();
    let again = again.wait().await.unwrap();
    assert!(!first.duplicate);
    let repeat = Appended {
        duplicate: true,
        ..first.clone()
    };
    assert_eq!(again, repeat);

    rig.hands.advance(Duration::from_secs(60));
    let other = rig.send(named("r", "two")).await;
    assert_eq!((other.seq, other.duplicate), (Seq(2), false));
    assert_eq!(rig.send(named("r", "one")).await, repeat);
    let elsewhere = rig.send(named("s", "one")).await;
    assert_eq!((elsewhere.seq, elsewhere.duplicate), (Seq(1), false));

    assert_eq!(rig.kept("r").await, [1, 2]);
    let ids: Vec<_> = std::iter::from_fn(|| rig.delivered())
        .map(|(message, _)| format!("{} {}", message.room.room, message.id))
        .collect();
    assert_eq!(ids, ["r one", "r two", "s one"]);
}

pub(super) async fn an_id_is_remembered_when_its_message_is_gone_and_no_longer_than_its_window(
    kind: Kind,
) {
    let rig = kind
        .rig(Retention {
            default: policy(100, Duration::from_secs(10)),
            rules: Vec::new(),
        })
        .await;
    let first = rig.send(named("r", "one")).await;
    rig.hands.advance(DEFAULT_IDEMPOTENCY_WINDOW);
    rig.log.trim_all(rig.hands.now()).await;
    assert_eq!(rig.kept("r").await, [0; 0]);
    let again = rig.send(named("r", "one")).await;
    assert_eq!(
        (again.seq, again.ts, again.duplicate),
        (Seq(1), first.ts, true)
    );

    rig.hands.advance(Duration::from_millis(1));
    let anew = rig.send(named("r", "one")).await;
    assert_eq!((anew.seq, anew.duplicate), (Seq(2), false));
    rig.log.trim_all(rig.hands.now()).await;
    assert!(
        rig.send(named("r", "one")).await.duplicate,
        "its window began anew"
    );
}

pub(super) async fn a_message_is_on_its_way_before_its_receipt_is_settled(kind: Kind) {
    let mut rig = kind.rig(Retention::default()).await;
    for nth in 1..=100 {
        let except = (nth % 2 == 0).then(ConnectionId::generate);
        let appended = rig
            .send(Draft {
                except,
                ..draft("r", "1")
            })
            .await;
        let (message, not_to) = rig.delivered().expect("delivered before it was settled");
        assert_eq!((&message.id, message.seq), (&appended.id, Seq(nth)));
        assert_eq!(not_to, except);
        assert!(rig.delivered().is_none());
    }
}

pub(super) async fn a_draft_whose_receipt_is_dropped_is_stored(kind: Kind) {
    let rig = kind.rig(Retention::default()).await;
    drop(rig.log.append(draft("r", "1")).await.unwrap());
    assert_eq!(rig.send(draft("r", "2")).await.seq, Seq(2));
    assert_eq!(rig.kept("r").await, [1, 2]);
}

pub(super) async fn everything_about_a_message_comes_back_as_it_was_sent(kind: Kind) {
    let mut rig = kind.rig(Retention::default()).await;
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
            rig.send(Draft {
                from,
                event,
                ..named("r", "x")
            })
            .await;
            rig.send(Draft {
                from: None,
                ..draft("r", data)
            })
            .await;
        }
    }
    let page = rig.page("r", Range::Last, 100).await;
    assert_eq!(page.messages.len(), 1 + 2 * datas.len());
    for message in &page.messages {
        let (delivered, _) = rig.delivered().unwrap();
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

pub(super) async fn an_event_sent_after_a_settled_append_is_delivered_after_it(kind: Kind) {
    let mut rig = kind.rig(Retention::default()).await;
    for _ in 0..50 {
        rig.send(draft("r", "1")).await;
        let event = Ephemeral {
            room: key("/", "r"),
            id: None,
            event: EventName::parse("cursor").unwrap(),
            from: None,
            data: draft("r", "2").data,
            ts: rig.hands.now(),
        };
        rig.bus.send(Arc::new(event), None).await.unwrap();
        assert!(matches!(rig.next_now(), Some(Delivery::Message(..))));
        // It may come from elsewhere, which takes a moment.
        assert!(matches!(rig.next().await, Some(Delivery::Ephemeral(..))));
    }
}

pub(super) async fn appends_go_on_when_nobody_takes_the_deliveries_any_more(kind: Kind) {
    let mut rig = kind.rig(Retention::default()).await;
    rig.deliveries.close();
    assert_eq!(rig.send(draft("r", "1")).await.seq, Seq(1));
    assert_eq!(rig.kept("r").await, [1]);
}

pub(super) async fn closing_stores_what_was_accepted_and_refuses_the_rest(kind: Kind) {
    let mut rig = kind.rig(Retention::default()).await;
    rig.log.ready().await.unwrap();
    let mut receipts = Vec::new();
    for _ in 0..500 {
        receipts.push(rig.log.append(draft("r", "1")).await.unwrap());
    }
    tokio::join!(rig.log.close(), rig.log.close());
    for (receipt, nth) in receipts.into_iter().zip(1..) {
        assert_eq!(receipt.wait().await.unwrap().seq, Seq(nth));
        assert_eq!(rig.delivered().unwrap().0.seq, Seq(nth));
    }
    let size = PageSize {
        messages: 1,
        bytes: 1,
    };
    let read = rig.log.read(&key("/", "r"), Range::Last, size).await;
    assert_eq!(read.unwrap_err().code(), Code::Unavailable);
    let append = rig.log.append(draft("r", "1")).await;
    assert_eq!(append.unwrap_err().code(), Code::Unavailable);
    assert_eq!(rig.log.ready().await.unwrap_err().code(), Code::Unavailable);
}
