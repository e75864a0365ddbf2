//! What is kept, for how long, and what stays when the messages are gone.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) async fn each_room_keeps_the_number_its_first_matching_rule_says(kind: Kind) {
    let rig = kind
        .rig(Retention {
            default: policy(5, HOUR),
            rules: vec![
                ("team:*".parse().unwrap(), policy(2, HOUR)),
                ("*:7".parse().unwrap(), policy(3, HOUR)),
            ],
        })
        .await;
    for room in ["lobby", "team:7", "game:7"] {
        for _ in 0..300 {
            rig.send(draft(room, "1")).await;
        }
    }
    rig.log.trim_all(rig.hands.now()).await;
    for (room, oldest) in [("lobby", 296), ("team:7", 299), ("game:7", 298)] {
        let page = rig.page(room, Range::Last, 1000).await;
        assert_eq!(
            (page.oldest, page.head, page.more),
            (Seq(oldest), Seq(300), false)
        );
        assert_eq!(seqs(&page), (oldest..=300).collect::<Vec<_>>());
        assert_eq!(rig.kept(room).await, (oldest..=300).collect::<Vec<_>>());
    }
}

pub(super) async fn a_message_too_old_is_not_shown_even_before_it_is_taken_away(kind: Kind) {
    let rig = kind
        .rig(Retention {
            default: policy(1000, HOUR),
            rules: Vec::new(),
        })
        .await;
    let first = rig.send(draft("r", "1")).await;
    rig.hands.advance(HOUR / 2);
    rig.send(draft("r", "2")).await;
    rig.hands.advance(HOUR / 2);
    assert_eq!(rig.kept("r").await, [1, 2], "an hour old is not too old");
    rig.hands.advance(Duration::from_millis(1));
    for trimmed in [false, true] {
        if trimmed {
            rig.log.trim_all(rig.hands.now()).await;
        }
        assert_eq!(rig.kept("r").await, [2], "trimmed: {trimmed}");
        assert_eq!(rig.page("r", Range::Last, 1).await.oldest, Seq(2));
        assert!(!rig.page("r", Range::Last, 1).await.more);
    }
    rig.hands.advance(HOUR);
    for trimmed in [false, true] {
        if trimmed {
            rig.log.trim_all(rig.hands.now()).await;
        }
        let page = rig.page("r", Range::Last, 10).await;
        assert_eq!((page.oldest, page.head, page.more), (Seq(3), Seq(2), false));
        assert!(page.messages.is_empty(), "trimmed: {trimmed}");
        assert_eq!(page.epoch, first.epoch);
    }
    assert_eq!(rig.send(draft("r", "3")).await.seq, Seq(3));
    assert_eq!(rig.kept("r").await, [3]);
}

pub(super) async fn a_room_that_keeps_nothing_numbers_and_delivers_all_the_same(kind: Kind) {
    let mut rig = kind
        .rig(Retention {
            default: policy(0, HOUR),
            rules: Vec::new(),
        })
        .await;
    for nth in 1..=3 {
        let appended = rig.send(named("r", &format!("id{nth}"))).await;
        assert_eq!(appended.seq, Seq(nth));
        assert_eq!(rig.delivered().unwrap().0.seq, Seq(nth));
        let page = rig.page("r", Range::After(Seq(0)), 10).await;
        assert_eq!(
            (page.oldest, page.head, page.more),
            (Seq(nth + 1), Seq(nth), false)
        );
        assert!(page.messages.is_empty());
    }
    assert!(rig.send(named("r", "id1")).await.duplicate);
    assert!(rig.delivered().is_none());
}

pub(super) async fn a_room_over_its_limit_is_trimmed_while_it_is_written(kind: Kind) {
    let rig = kind
        .rig(Retention {
            default: policy(10, HOUR),
            rules: Vec::new(),
        })
        .await;
    let mut deliveries = rig.deliveries;
    let drained = tokio::spawn(async move { while deliveries.recv().await.is_some() {} });
    for nth in 1..=1000u64 {
        rig.log
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
            let page = rig
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

pub(super) async fn a_room_is_forgotten_when_it_was_empty_and_unused_for_a_week(kind: Kind) {
    let rig = kind
        .rig(Retention {
            default: policy(10, HOUR),
            rules: Vec::new(),
        })
        .await;
    let written = rig.send(named("written", "x")).await;
    let used = rig.send(named("used", "x")).await;
    rig.hands.advance(WEEK / 2);
    rig.page("used", Range::Last, 0).await;
    rig.hands.advance(WEEK / 2 + Duration::from_millis(1));
    rig.log.trim_all(rig.hands.now()).await;

    let page = rig.page("used", Range::Last, 0).await;
    assert_eq!((page.epoch, page.head), (used.epoch, Seq(1)));
    let page = rig.page("written", Range::Last, 0).await;
    assert_ne!(page.epoch, written.epoch);
    assert_eq!(page.head, Seq(0));
    let anew = rig.send(named("written", "x")).await;
    assert_eq!(
        (anew.seq, anew.duplicate, anew.epoch),
        (Seq(1), false, page.epoch)
    );
}

pub(super) async fn times_never_fall_within_a_room(kind: Kind) {
    let rig = kind.rig(Retention::default()).await;
    let first = rig.send(draft("r", "1")).await;
    rig.hands.turn_back(HOUR);
    let second = rig.send(draft("r", "1")).await;
    assert_eq!(second.ts, first.ts);
    assert_eq!(rig.kept("r").await, [1, 2]);
}
