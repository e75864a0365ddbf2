//! Which messages are stored, for how long, and when a room is forgotten.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) async fn each_room_keeps_the_number_of_its_first_matching_rule(kind: LogKind) {
    let fixture = kind
        .open(Retention {
            default: policy(5, HOUR),
            policies: Vec::new(),
            rules: vec![
                ("team:*".parse().unwrap(), policy(2, HOUR)),
                ("*:7".parse().unwrap(), policy(3, HOUR)),
            ],
        })
        .await;
    for room in ["lobby", "team:7", "game:7"] {
        for _ in 0..300 {
            fixture.send(draft(room, "1")).await;
        }
    }
    fixture.log.trim_all(fixture.clock.now()).await;
    for (room, oldest) in [("lobby", 296), ("team:7", 299), ("game:7", 298)] {
        let page = fixture.page(room, Range::Last, 1000).await;
        assert_eq!(
            (page.oldest, page.head, page.more),
            (Seq(oldest), Seq(300), false)
        );
        assert_eq!(seqs(&page), (oldest..=300).collect::<Vec<_>>());
        assert_eq!(
            fixture.stored_seqs(room).await,
            (oldest..=300).collect::<Vec<_>>()
        );
    }
}

pub(super) async fn an_expired_message_is_not_returned_even_before_it_is_trimmed(kind: LogKind) {
    let fixture = kind
        .open(Retention {
            default: policy(1000, HOUR),
            policies: Vec::new(),
            rules: Vec::new(),
        })
        .await;
    let first = fixture.send(draft("r", "1")).await;
    fixture.clock.advance(HOUR / 2);
    fixture.send(draft("r", "2")).await;
    fixture.clock.advance(HOUR / 2);
    assert_eq!(
        fixture.stored_seqs("r").await,
        [1, 2],
        "an hour old is not too old"
    );
    fixture.clock.advance(Duration::from_millis(1));
    for trimmed in [false, true] {
        if trimmed {
            fixture.log.trim_all(fixture.clock.now()).await;
        }
        assert_eq!(fixture.stored_seqs("r").await, [2], "trimmed: {trimmed}");
        assert_eq!(fixture.page("r", Range::Last, 1).await.oldest, Seq(2));
        assert!(!fixture.page("r", Range::Last, 1).await.more);
    }
    fixture.clock.advance(HOUR);
    for trimmed in [false, true] {
        if trimmed {
            fixture.log.trim_all(fixture.clock.now()).await;
        }
        let page = fixture.page("r", Range::Last, 10).await;
        assert_eq!((page.oldest, page.head, page.more), (Seq(3), Seq(2), false));
        assert!(page.messages.is_empty(), "trimmed: {trimmed}");
        assert_eq!(page.epoch, first.epoch);
    }
    assert_eq!(fixture.send(draft("r", "3")).await.seq, Seq(3));
    assert_eq!(fixture.stored_seqs("r").await, [3]);
}

pub(super) async fn a_room_that_keeps_no_messages_still_numbers_and_delivers(kind: LogKind) {
    let mut fixture = kind
        .open(Retention {
            default: policy(0, HOUR),
            policies: Vec::new(),
            rules: Vec::new(),
        })
        .await;
    for nth in 1..=3 {
        let appended = fixture.send(named("r", &format!("id{nth}"))).await;
        assert_eq!(appended.seq, Seq(nth));
        assert_eq!(fixture.delivered().unwrap().0.seq, Seq(nth));
        let page = fixture.page("r", Range::After(Seq(0)), 10).await;
        assert_eq!(
            (page.oldest, page.head, page.more),
            (Seq(nth + 1), Seq(nth), false)
        );
        assert!(page.messages.is_empty());
    }
    assert!(fixture.send(named("r", "id1")).await.duplicate);
    assert!(fixture.delivered().is_none());
}

pub(super) async fn a_room_over_its_limit_is_trimmed_while_it_is_written(kind: LogKind) {
    let fixture = kind
        .open(Retention {
            default: policy(10, HOUR),
            policies: Vec::new(),
            rules: Vec::new(),
        })
        .await;
    let mut deliveries = fixture.deliveries;
    let drained = tokio::spawn(async move { while deliveries.recv().await.is_some() {} });
    for nth in 1..=1000u64 {
        fixture
            .log
            .append(draft("r", "1"))
            .await
            .unwrap()
            .wait()
            .await
            .unwrap();
        if nth % 50 == 0 {
            let size = PageSize {
                messages: 0,
                bytes: 0,
            };
            let page = fixture
                .log
                .read(&key("/", "r"), Range::Last, size)
                .await
                .unwrap();
            let held = page.head.0 + 1 - page.oldest.0;
            assert!((10..=75).contains(&held), "{held} are held after {nth}");
        }
    }
    drained.abort();
}

pub(super) async fn a_room_is_forgotten_when_it_was_empty_and_unused_for_a_week(kind: LogKind) {
    let fixture = kind
        .open(Retention {
            default: policy(10, HOUR),
            policies: Vec::new(),
            rules: Vec::new(),
        })
        .await;
    let written = fixture.send(named("written", "x")).await;
    let used = fixture.send(named("used", "x")).await;
    fixture.clock.advance(WEEK / 2);
    fixture.page("used", Range::Last, 0).await;
    fixture.clock.advance(WEEK / 2 + Duration::from_millis(1));
    fixture.log.trim_all(fixture.clock.now()).await;

    let page = fixture.page("used", Range::Last, 0).await;
    assert_eq!((page.epoch, page.head), (used.epoch, Seq(1)));
    let page = fixture.page("written", Range::Last, 0).await;
    assert_ne!(page.epoch, written.epoch);
    assert_eq!(page.head, Seq(0));
    let anew = fixture.send(named("written", "x")).await;
    assert_eq!(
        (anew.seq, anew.duplicate, anew.epoch),
        (Seq(1), false, page.epoch)
    );
}

pub(super) async fn timestamps_never_decrease_within_a_room(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let first = fixture.send(draft("r", "1")).await;
    fixture.clock.turn_back(HOUR);
    let second = fixture.send(draft("r", "1")).await;
    assert_eq!(second.ts, first.ts);
    assert_eq!(fixture.stored_seqs("r").await, [1, 2]);
}
