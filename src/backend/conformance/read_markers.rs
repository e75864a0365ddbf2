//! How far users have read.

use futures_util::future::join_all;

use super::*;
use crate::{error::Code, model::UserId};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn retention(age: Duration) -> Retention {
    Retention {
        default: policy(10, age),
        policies: Vec::new(),
        rules: Vec::new(),
    }
}

/// A marker's number, how many are unread, and whether it moved.
type MarkerTuple = (u64, u64, bool);

fn parts(marker: ReadMarker) -> MarkerTuple {
    (marker.seq.0, marker.unread, marker.moved)
}

impl Fixture {
    async fn send_many(&self, room: &str, count: usize) {
        for _ in 0..count {
            self.send(draft(room, "1")).await;
        }
    }

    /// Lets time pass while the room is written once in five days, so that it is not forgotten itself.
    async fn pass(&self, room: &str, fives: u32) {
        for _ in 0..fives {
            self.clock.advance(5 * DAY);
            self.send_many(room, 1).await;
        }
    }

    async fn advance(&self, room: &str, id: &str, seq: u64) -> MarkerTuple {
        let marker = self.log.advance(&key("/", room), &user(id), Seq(seq)).await;
        parts(marker.unwrap())
    }

    async fn marker(&self, room: &str, id: &str) -> MarkerTuple {
        let marker = self.log.get(&key("/", room), &user(id)).await;
        parts(marker.unwrap())
    }
}

pub(super) async fn a_marker_only_advances(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.send_many("r", 7).await;
    assert_eq!(fixture.marker("r", "alice").await, (0, 7, false));
    assert_eq!(fixture.advance("r", "alice", 0).await, (0, 7, false));
    assert_eq!(fixture.advance("r", "alice", 3).await, (3, 4, true));
    assert_eq!(fixture.advance("r", "alice", 3).await, (3, 4, false));
    assert_eq!(fixture.advance("r", "alice", 2).await, (3, 4, false));
    assert_eq!(fixture.marker("r", "alice").await, (3, 4, false));
    assert_eq!(fixture.advance("r", "alice", 6).await, (6, 1, true));
}

pub(super) async fn a_marker_stops_at_the_last_message(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.send_many("r", 2).await;
    assert_eq!(fixture.advance("r", "alice", 3).await, (2, 0, true));
    assert_eq!(fixture.advance("r", "alice", u64::MAX).await, (2, 0, false));
    fixture.send_many("r", 1).await;
    assert_eq!(fixture.marker("r", "alice").await, (2, 1, false));
    assert_eq!(fixture.advance("r", "alice", u64::MAX).await, (3, 0, true));
}

pub(super) async fn messages_after_a_marker_are_unread_even_when_they_were_deleted(kind: LogKind) {
    for messages in [1000, 3, 0] {
        let fixture = kind
            .open(Retention {
                default: policy(messages, HOUR),
                policies: Vec::new(),
                rules: Vec::new(),
            })
            .await;
        fixture.send_many("r", 1).await;
        fixture.advance("r", "alice", 1).await;
        for unread in 1..=100 {
            fixture.send_many("r", 1).await;
            assert_eq!(fixture.marker("r", "alice").await, (1, unread, false));
        }
        assert_eq!(fixture.advance("r", "alice", 50).await, (50, 51, true));
    }
}

pub(super) async fn markers_of_users_rooms_and_namespaces_are_separate(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let rooms = [key("/", "a"), key("/", "b"), key("/chat", "a")];
    let ids = ["alice", "Alice", "alic"];
    for room in &rooms {
        for _ in 0..10 {
            fixture
                .send(Draft {
                    room: room.clone(),
                    ..draft("-", "1")
                })
                .await;
        }
    }
    let pairs = || rooms.iter().flat_map(|room| ids.map(|id| (room, user(id))));
    for ((room, user), seq) in pairs().zip(1..) {
        let marker = fixture.log.advance(room, &user, Seq(seq)).await.unwrap();
        assert_eq!(parts(marker), (seq, 10 - seq, true), "{user} in {room:?}");
    }
    for ((room, user), seq) in pairs().zip(1..) {
        let marker = fixture.log.get(room, &user).await.unwrap();
        assert_eq!(parts(marker), (seq, 10 - seq, false), "{user} in {room:?}");
    }
}

pub(super) async fn a_room_never_written_has_no_marker(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    assert_eq!(fixture.advance("r", "alice", 5).await, (0, 0, false));
    assert_eq!(fixture.marker("r", "alice").await, (0, 0, false));
    fixture.page("seen", Range::Last, 0).await;
    assert_eq!(fixture.advance("seen", "alice", 5).await, (0, 0, false));
    for room in ["r", "seen"] {
        fixture.send_many(room, 5).await;
        assert_eq!(fixture.marker(room, "alice").await, (0, 5, false));
    }
}

pub(super) async fn a_stored_marker_is_seen_by_every_later_read(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.send_many("r", 300).await;
    for seq in 1..=300 {
        let id = format!("user{}", seq % 3);
        assert_eq!(fixture.advance("r", &id, seq).await, (seq, 300 - seq, true));
        assert_eq!(fixture.marker("r", &id).await, (seq, 300 - seq, false));
    }
}

pub(super) async fn a_marker_is_stored_in_order_with_the_drafts(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let (room, alice) = (key("/", "r"), user("alice"));
    for round in 1..=20 {
        let mut receipts = Vec::new();
        for _ in 0..10 {
            receipts.push(fixture.log.append(draft("r", "1")).await.unwrap());
        }
        // The first future must be polled before the second, so the cooperative budget must not be used up.
        tokio::task::yield_now().await;
        let (marker, after) = tokio::join!(
            biased;
            fixture.log.advance(&room, &alice, Seq(u64::MAX)),
            fixture.log.append(draft("r", "1")),
        );
        let before = round * 11 - 1;
        assert_eq!(parts(marker.unwrap()), (before, 0, true));
        let after = after.unwrap().wait().await.unwrap();
        assert_eq!(after.seq, Seq(before + 1));
        assert_eq!(fixture.marker("r", "alice").await, (before, 1, false));
        for receipt in receipts {
            assert!(receipt.wait().await.unwrap().seq.0 <= before);
        }
    }
}

pub(super) async fn a_forgotten_room_loses_its_markers(kind: LogKind) {
    let fixture = kind.open(retention(HOUR)).await;
    fixture.send_many("r", 5).await;
    let epoch = fixture.page("r", Range::Last, 0).await.epoch;
    fixture.advance("r", "alice", 5).await;
    fixture.clock.advance(7 * DAY);
    fixture.log.trim_all(fixture.clock.now()).await;
    assert_eq!(fixture.marker("r", "alice").await, (5, 0, false));
    fixture.clock.advance(Duration::from_millis(1));
    fixture.log.trim_all(fixture.clock.now()).await;
    assert_eq!(fixture.marker("r", "alice").await, (0, 0, false));
    assert_eq!(fixture.advance("r", "alice", 5).await, (0, 0, false));
    fixture.send_many("r", 7).await;
    assert_ne!(fixture.page("r", Range::Last, 0).await.epoch, epoch);
    assert_eq!(fixture.marker("r", "alice").await, (0, 7, false));
}

pub(super) async fn setting_a_marker_counts_as_use_of_a_room(kind: LogKind) {
    let fixture = kind.open(retention(HOUR)).await;
    fixture.send_many("r", 5).await;
    fixture.clock.advance(4 * DAY);
    fixture.advance("r", "alice", 5).await;
    fixture.clock.advance(4 * DAY);
    fixture.log.trim_all(fixture.clock.now()).await;
    assert_eq!(fixture.marker("r", "alice").await, (5, 0, false));
}

pub(super) async fn a_marker_is_forgotten_when_it_was_not_set_for_a_month(kind: LogKind) {
    let fixture = kind.open(retention(HOUR)).await;
    fixture.send_many("r", 2).await;
    let (all, room) = (Seq(u64::MAX), key("/", "r"));
    let away: Vec<_> = (0..700).map(|nth| user(&format!("away{nth}"))).collect();
    join_all(
        away.iter()
            .map(|user| fixture.log.advance(&room, user, all)),
    )
    .await;
    fixture.advance("r", "behind", 1).await;
    fixture.advance("r", "moved", 1).await;
    fixture.advance("r", "staying", 2).await;
    fixture.pass("r", 1).await;
    fixture.advance("r", "moved", 2).await;
    assert_eq!(fixture.advance("r", "staying", 2).await, (2, 1, false));
    // Reading a marker does not set it.
    fixture.marker("r", "behind").await;

    fixture.pass("r", 5).await;
    fixture.log.trim_all(fixture.clock.now()).await;
    assert_eq!(fixture.marker("r", "behind").await, (1, 7, false));
    assert_eq!(fixture.marker("r", "away699").await, (2, 6, false));
    fixture.clock.advance(DAY);
    fixture.log.trim_all(fixture.clock.now()).await;
    for user in &away {
        let marker = fixture.log.get(&room, user).await.unwrap();
        assert_eq!(parts(marker), (0, 8, false), "{user}");
    }
    assert_eq!(fixture.marker("r", "behind").await, (0, 8, false));
    assert_eq!(fixture.marker("r", "moved").await, (2, 6, false));
    assert_eq!(fixture.marker("r", "staying").await, (2, 6, false));
}

pub(super) async fn a_marker_is_remembered_as_long_as_its_room_keeps_messages(kind: LogKind) {
    let fixture = kind
        .open(Retention {
            default: policy(10, HOUR),
            policies: Vec::new(),
            rules: vec![("long:*".parse().unwrap(), policy(10, 60 * DAY))],
        })
        .await;
    for (room, fives) in [("long:1", 12), ("short", 6)] {
        fixture.send_many(room, 1).await;
        fixture.advance(room, "alice", 1).await;
        fixture.pass(room, fives).await;
        fixture.log.trim_all(fixture.clock.now()).await;
        assert_eq!(fixture.marker(room, "alice").await.0, 1, "{room} in time");
        fixture.pass(room, 1).await;
        fixture.log.trim_all(fixture.clock.now()).await;
        assert_eq!(
            fixture.marker(room, "alice").await.0,
            0,
            "{room} in the end"
        );
    }
}

pub(super) async fn a_closed_log_rejects_markers(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.send_many("r", 1).await;
    fixture.log.close().await;
    let (room, alice) = (key("/", "r"), user("alice"));
    let marker = fixture.log.advance(&room, &alice, Seq(1)).await;
    assert_eq!(marker.unwrap_err().code(), Code::Unavailable);
    let found = fixture.log.get(&room, &alice).await;
    assert_eq!(found.unwrap_err().code(), Code::Unavailable);
}
