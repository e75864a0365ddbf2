//! Rooms that nobody has written to: asking about them leaves nothing behind, and what they were said to be stays true.

use std::collections::HashSet;

use super::*;
use crate::model::UserId;

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) async fn reading_rooms_that_were_never_written_stores_nothing(kind: LogKind) {
    let mut fixture = kind.open(Retention::default()).await;
    fixture.send(draft("written", "1")).await;
    let alice = UserId::parse("alice").unwrap();
    let mut stored = Vec::new();
    for nth in 0..1200 {
        if nth % 200 == 199 {
            // By the first time, what is stored once for each part of a log is there.
            stored.push(fixture.log.stored().await);
        }
        let room = key(["/", "/other"][nth % 2], &format!("r{nth}"));
        let followed = fixture.bus.subscribe(&room);
        followed.await.unwrap();
        for range in [Range::Last, Range::After(Seq(3)), Range::Before(Seq(3))] {
            let page = fixture.log.read(&room, range, PageSize::ONE).await.unwrap();
            assert_eq!((page.head, page.oldest, page.more), (Seq(0), Seq(1), false));
        }
        let end = Offset(u64::MAX);
        let missed = fixture.log.missed(&room, Offset(0), end, PageSize::ONE);
        assert!(missed.await.unwrap().complete);
        fixture.log.advance(&room, &alice, Seq(1)).await.unwrap();
        fixture.log.get(&room, &alice).await.unwrap();
        fixture.bus.unsubscribe(&room);
        assert!(
            fixture
                .delivered()
                .is_none_or(|(message, _)| message.seq == Seq(1))
        );
    }
    fixture.log.trim_all(fixture.clock.now()).await;
    stored.push(fixture.log.stored().await);
    assert!(stored.iter().all(|count| *count == stored[0]), "{stored:?}");
}

pub(super) async fn a_room_keeps_the_epoch_that_it_was_first_read_with(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let page = fixture.page("r", Range::Last, 10).await;
    assert_eq!((page.head, page.oldest, page.more), (Seq(0), Seq(1), false));
    assert!(page.messages.is_empty());
    let again = fixture.page("r", Range::After(Seq(7)), 0).await;
    assert_eq!((again.head, &again.epoch), (Seq(0), &page.epoch));
    fixture.clock.advance(2 * WEEK);
    fixture.log.trim_all(fixture.clock.now()).await;
    let appended = fixture.send(draft("r", "1")).await;
    assert_eq!(appended.epoch, page.epoch);
    assert_eq!(fixture.page("r", Range::Last, 1).await.epoch, page.epoch);

    let other = fixture.send(draft("s", "1")).await;
    assert_ne!(other.epoch, page.epoch);
    assert_eq!(fixture.page("s", Range::Last, 0).await.epoch, other.epoch);
}

pub(super) async fn a_forgotten_room_never_gets_an_earlier_epoch_again(kind: LogKind) {
    let fixture = kind
        .open(Retention {
            default: policy(10, HOUR),
            policies: Vec::new(),
            rules: Vec::new(),
        })
        .await;
    let unwritten = fixture.page("unwritten", Range::Last, 0).await.epoch;
    let (mut stored, mut epochs) = (Vec::new(), HashSet::new());
    for round in 1..=3 {
        let appended = fixture.send(draft("r", "1")).await;
        assert_eq!(appended.seq, Seq(1));
        assert!(epochs.insert(appended.epoch), "round {round}");
        fixture.clock.advance(WEEK + Duration::from_millis(1));
        fixture.log.trim_all(fixture.clock.now()).await;
        stored.push(fixture.log.stored().await);
    }
    assert_eq!(stored[2], stored[0], "a counter, and no row for each");
    assert_eq!(
        fixture.page("unwritten", Range::Last, 0).await.epoch,
        unwritten,
        "another counter than that of r"
    );
}
