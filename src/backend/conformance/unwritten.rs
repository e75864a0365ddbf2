//! Rooms that nobody has written to: asking about them leaves nothing behind, and what they were said to be stays true.

use std::collections::HashSet;

use super::*;
use crate::model::UserId;

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) async fn asking_about_rooms_that_nobody_wrote_to_stores_nothing(kind: Kind) {
    let mut rig = kind.rig(Retention::default()).await;
    rig.send(draft("written", "1")).await;
    let alice = UserId::parse("alice").unwrap();
    let mut stored = Vec::new();
    for nth in 0..1200 {
        if nth % 200 == 199 {
            // By the first time, what is stored once for each part of a log is there.
            stored.push(rig.log.stored().await);
        }
        let room = key(["/", "/other"][nth % 2], &format!("r{nth}"));
        let followed = rig.bus.subscribe(&room);
        followed.await.unwrap();
        for range in [Range::Last, Range::After(Seq(3)), Range::Before(Seq(3))] {
            let page = rig.log.read(&room, range, PageSize::ONE).await.unwrap();
            assert_eq!((page.head, page.oldest, page.more), (Seq(0), Seq(1), false));
        }
        let end = Offset(u64::MAX);
        let missed = rig.log.missed(&room, Offset(0), end, PageSize::ONE);
        assert!(missed.await.unwrap().complete);
        rig.log.advance(&room, &alice, Seq(1)).await.unwrap();
        rig.log.get(&room, &alice).await.unwrap();
        rig.bus.unsubscribe(&room);
        assert!(
            rig.delivered()
                .is_none_or(|(message, _)| message.seq == Seq(1))
        );
    }
    rig.log.trim_all(rig.hands.now()).await;
    stored.push(rig.log.stored().await);
    assert!(stored.iter().all(|count| *count == stored[0]), "{stored:?}");
}

pub(super) async fn a_room_has_the_epoch_that_it_was_first_read_with(kind: Kind) {
    let rig = kind.rig(Retention::default()).await;
    let page = rig.page("r", Range::Last, 10).await;
    assert_eq!((page.head, page.oldest, page.more), (Seq(0), Seq(1), false));
    assert!(page.messages.is_empty());
    let again = rig.page("r", Range::After(Seq(7)), 0).await;
    assert_eq!((again.head, &again.epoch), (Seq(0), &page.epoch));
    rig.hands.advance(2 * WEEK);
    rig.log.trim_all(rig.hands.now()).await;
    let appended = rig.send(draft("r", "1")).await;
    assert_eq!(appended.epoch, page.epoch);
    assert_eq!(rig.page("r", Range::Last, 1).await.epoch, page.epoch);

    let other = rig.send(draft("s", "1")).await;
    assert_ne!(other.epoch, page.epoch);
    assert_eq!(rig.page("s", Range::Last, 0).await.epoch, other.epoch);
}

pub(super) async fn a_forgotten_room_never_has_an_epoch_again_that_it_had(kind: Kind) {
    let rig = kind
        .rig(Retention {
            default: policy(10, HOUR),
            rules: Vec::new(),
        })
        .await;
    let unwritten = rig.page("unwritten", Range::Last, 0).await.epoch;
    let (mut stored, mut epochs) = (Vec::new(), HashSet::new());
    for round in 1..=3 {
        let appended = rig.send(draft("r", "1")).await;
        assert_eq!(appended.seq, Seq(1));
        assert!(epochs.insert(appended.epoch), "round {round}");
        rig.hands.advance(WEEK + Duration::from_millis(1));
        rig.log.trim_all(rig.hands.now()).await;
        stored.push(rig.log.stored().await);
    }
    assert_eq!(stored[2], stored[0], "a counter, and no row for each");
    assert_eq!(
        rig.page("unwritten", Range::Last, 0).await.epoch,
        unwritten,
        "another counter than that of r"
    );
}
