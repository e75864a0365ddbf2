//! What was missed between two offsets, and whether all of it is still there.

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use super::*;
use crate::error::Code;

const HOUR: Duration = Duration::from_secs(3600);

/// No limit on what a read returns.
const ALL: PageSize = PageSize {
    messages: usize::MAX,
    bytes: usize::MAX,
};

fn retention(messages: u64, age: Duration) -> Retention {
    Retention {
        default: policy(messages, age),
        policies: Vec::new(),
        rules: Vec::new(),
    }
}

impl Fixture {
    /// The position of each message among all that were sent.
    fn offsets(&self, missed: &Missed) -> Vec<u64> {
        let messages = missed.messages.iter();
        messages.map(|message| self.nth(message.offset)).collect()
    }

    async fn missed_between(&self, room: &str, after: u64, until: u64, size: PageSize) -> Missed {
        self.log
            .missed(&key("/", room), self.at(after), self.at(until), size)
            .await
            .unwrap()
    }

    /// The offsets of all that was missed, and whether that is complete.
    async fn missed(&self, room: &str, after: u64) -> (Vec<u64>, bool) {
        let missed = self.missed_between(room, after, u64::MAX, ALL).await;
        assert!(!missed.more);
        (self.offsets(&missed), missed.complete)
    }

    async fn offset(&self, namespace: &str) -> Offset {
        let namespace = Namespace::parse(namespace).unwrap();
        self.log.last_offset(&namespace).await.unwrap()
    }
}

pub(super) async fn what_was_missed_is_what_was_sent_between_two_offsets(kind: LogKind) {
    let mut fixture = kind.open(Retention::default()).await;
    let except = Some(ConnectionId::generate());
    for nth in 1..=60u64 {
        let room = if nth % 3 == 0 { "r" } else { "s" };
        fixture
            .send(Draft {
                except: except.filter(|_| nth % 2 == 0),
                ..draft(room, "1")
            })
            .await;
    }
    let sent = std::iter::from_fn(|| fixture.delivered());
    let sent: Vec<_> = sent.map(|(message, _)| message).collect();
    for (after, until) in [
        (0, 60),
        (0, u64::MAX),
        (3, 57),
        (4, 56),
        (30, 30),
        (31, 32),
        (40, 7),
    ] {
        let missed = fixture.missed_between("r", after, until, ALL).await;
        let expected = (sent.iter()).filter(|message| {
            message.room.room.as_str() == "r"
                && (after + 1..=until).contains(&fixture.nth(message.offset))
        });
        let expected: Vec<_> = expected.collect();
        assert_eq!(
            format!("{:?}", missed.messages),
            format!("{expected:?}"),
            "{after}..={until}"
        );
        assert!(missed.complete && !missed.more, "{after}..={until}");
    }
}

pub(super) async fn what_was_missed_can_be_read_in_parts(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    for _ in 0..50 {
        fixture.send(draft("r", r#""0123456789""#)).await;
        fixture.send(draft("s", "1")).await;
    }
    let parts = [(1, usize::MAX), (7, usize::MAX), (100, 30), (100, 0)];
    for (messages, bytes) in parts {
        let size = PageSize { messages, bytes };
        let (mut after, mut all) = (20, Vec::new());
        loop {
            let missed = fixture.missed_between("r", after, 80, size).await;
            assert!(missed.complete);
            all.extend(fixture.offsets(&missed));
            if !missed.more {
                break;
            }
            after = *all.last().expect("a page has one message at least");
        }
        assert_eq!(all, (21..=80).step_by(2).collect::<Vec<_>>());
    }
    let nothing = PageSize {
        messages: 0,
        bytes: 0,
    };
    let missed = fixture.missed_between("r", 98, 100, nothing).await;
    assert_eq!((missed.messages.len(), missed.more), (0, true));
}

pub(super) async fn messages_trimmed_by_count_make_earlier_offsets_incomplete(kind: LogKind) {
    let fixture = kind.open(retention(5, HOUR)).await;
    for _ in 0..100 {
        fixture.send(draft("r", "1")).await;
        fixture.send(draft("s", "1")).await;
    }
    fixture.log.trim_all(fixture.clock.now()).await;
    // The room's messages have the odd offsets; those from 191 on are stored.
    let stored: Vec<u64> = (191..200).step_by(2).collect();
    for after in [0, 100, 188] {
        assert_eq!(
            fixture.missed("r", after).await,
            (stored.clone(), false),
            "{after}"
        );
    }
    for after in [189, 190] {
        assert_eq!(
            fixture.missed("r", after).await,
            (stored.clone(), true),
            "{after}"
        );
    }
    assert_eq!(fixture.missed("r", 191).await, (stored[1..].to_vec(), true));
    let missed = fixture.missed_between("r", 100, 193, ALL).await;
    assert_eq!(
        (fixture.offsets(&missed), missed.complete),
        (vec![191, 193], false)
    );
}

pub(super) async fn expired_messages_count_as_deleted_even_before_they_are_trimmed(kind: LogKind) {
    let fixture = kind.open(retention(1000, HOUR)).await;
    for _ in 0..3 {
        fixture.send(draft("r", "1")).await;
        fixture.clock.advance(HOUR / 2);
    }
    // The first is an hour and a half old, the second an hour.
    for trimmed in [false, true] {
        assert_eq!(
            fixture.missed("r", 0).await,
            (vec![2, 3], false),
            "{trimmed}"
        );
        assert_eq!(
            fixture.missed("r", 1).await,
            (vec![2, 3], true),
            "{trimmed}"
        );
        assert_eq!(fixture.missed("r", 2).await, (vec![3], true), "{trimmed}");
        fixture.log.trim_all(fixture.clock.now()).await;
    }
}

pub(super) async fn a_room_whose_messages_were_all_deleted_knows_up_to_which_offset(kind: LogKind) {
    let fixture = kind.open(retention(1000, HOUR)).await;
    fixture.send(draft("r", "1")).await;
    fixture.send(draft("s", "1")).await;
    fixture.send(draft("r", "1")).await;
    fixture.send(draft("s", "1")).await;
    fixture.clock.advance(2 * HOUR);
    for trimmed in [false, true] {
        assert_eq!(fixture.missed("r", 0).await, (vec![], false), "{trimmed}");
        assert_eq!(fixture.missed("r", 2).await, (vec![], false), "{trimmed}");
        assert_eq!(fixture.missed("r", 3).await, (vec![], true), "{trimmed}");
        assert_eq!(
            fixture.page("r", Range::Last, 1).await.offset,
            fixture.at(3)
        );
        fixture.log.trim_all(fixture.clock.now()).await;
    }
    fixture.send(draft("r", "1")).await;
    assert_eq!(fixture.missed("r", 2).await, (vec![5], false));
    assert_eq!(fixture.missed("r", 3).await, (vec![5], true));
}

pub(super) async fn in_a_room_that_keeps_no_messages_every_message_counts_as_deleted(
    kind: LogKind,
) {
    let fixture = kind
        .open(Retention {
            policies: Vec::new(),
            rules: vec![("none".parse().unwrap(), policy(0, HOUR))],
            ..retention(10, HOUR)
        })
        .await;
    for _ in 0..3 {
        fixture.send(draft("none", "1")).await;
        fixture.send(draft("some", "1")).await;
    }
    assert_eq!(fixture.missed("none", 4).await, (vec![], false));
    assert_eq!(fixture.missed("none", 5).await, (vec![], true));
    assert_eq!(
        fixture.page("none", Range::Last, 1).await.offset,
        fixture.at(5)
    );
    assert_eq!(fixture.missed("some", 4).await, (vec![6], true));
}

pub(super) async fn nothing_is_missed_in_a_room_never_written(kind: LogKind) {
    let fixture = kind.open(retention(10, HOUR)).await;
    fixture.send(draft("other", "1")).await;
    assert_eq!(fixture.missed("r", 0).await, (vec![], true));
}

pub(super) async fn a_page_has_the_offset_of_the_last_message(kind: LogKind) {
    let fixture = kind.open(retention(10, HOUR)).await;
    assert_eq!(fixture.page("r", Range::Last, 1).await.offset, Offset(0));
    for nth in 1..=200 {
        fixture.send(draft("r", "1")).await;
        fixture.send(draft("s", "1")).await;
        let last = fixture.at(2 * nth - 1);
        assert_eq!(fixture.page("r", Range::Last, 1).await.offset, last);
        assert_eq!(
            fixture.page("r", Range::After(Seq(0)), 1).await.offset,
            last
        );
    }
}

pub(super) async fn the_offset_of_a_namespace_matches_what_can_be_read_and_is_delivered(
    kind: LogKind,
) {
    let mut fixture = kind.open(retention(0, HOUR)).await;
    let offsets = (fixture.offset("/").await, fixture.offset("/chat").await);
    assert_eq!(offsets, (Offset(0), Offset(0)));
    let log = fixture.log.clone();
    let sender = tokio::spawn(async move {
        for nth in 0..500 {
            let room = ["some", "none"][nth % 2];
            // The receipt is dropped; the draft is stored all the same.
            let _ = log.append(draft(room, "1")).await.unwrap();
        }
    });
    let (mut before, mut last) = (Offset(0), Offset(0));
    let mut seqs = [Seq(0); 2];
    for _ in 0..500 {
        let Some(Delivery::Message(message)) = fixture.next().await else {
            panic!("the stream ended");
        };
        let seq = &mut seqs[usize::from(message.room.room.as_str() == "none")];
        *seq = seq.next();
        assert_eq!(message.seq, *seq);
        assert!(message.offset > last, "{message:?} behind {last:?}");
        last = message.offset;
        let now = fixture.offset("/").await;
        assert!(now >= last.max(before), "{now} after {before}");
        before = now;
    }
    sender.await.unwrap();
    assert!(fixture.offset("/").await >= last);
}

pub(super) async fn a_closed_log_rejects_reads_of_missed_messages(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.log.close().await;
    let room = key("/", "r");
    let missed = fixture.log.missed(&room, Offset(0), Offset(1), ALL);
    assert_eq!(missed.await.unwrap_err().code(), Code::Unavailable);
    let offset = fixture.log.last_offset(&Namespace::root()).await;
    assert_eq!(offset.unwrap_err().code(), Code::Unavailable);
}

/// A message as it was sent: its offset, and the bytes of its data.
type Sent = (u64, usize);

/// The expected offsets, whether there are more of them, and whether none were deleted.
fn expected(
    (deleted, stored): (&[Sent], &[Sent]),
    (after, until): (u64, u64),
    size: PageSize,
) -> (Vec<u64>, bool, bool) {
    let all = stored
        .iter()
        .filter(|(offset, _)| (after + 1..=until).contains(offset));
    let all: Vec<_> = all.collect();
    let mut bytes = 0;
    let fitting = all.iter().take(size.messages).take_while(|(_, length)| {
        bytes += length;
        bytes == *length || bytes <= size.bytes
    });
    let taken: Vec<_> = fitting.map(|(offset, _)| *offset).collect();
    let more = taken.len() < all.len();
    let complete = deleted.last().is_none_or(|(offset, _)| *offset <= after);
    (taken, more, complete)
}

pub(super) async fn what_was_missed_matches_a_plain_list(kind: LogKind) {
    let fixture = kind
        .open(Retention {
            policies: Vec::new(),
            rules: vec![
                ("few".parse().unwrap(), policy(20, HOUR)),
                ("none".parse().unwrap(), policy(0, HOUR)),
            ],
            ..retention(10_000, Duration::from_secs(30))
        })
        .await;
    let names = ["short", "few", "none", "quiet"];
    let mut sent: [Vec<Sent>; 4] = Default::default();
    let mut runner = TestRunner::deterministic();
    let messages = prop_oneof![Just(0), 1..8usize, Just(1000)];
    let bytes = prop_oneof![Just(0), 1..600usize, Just(usize::MAX)];
    let sizes = (messages, bytes).prop_map(|(messages, bytes)| PageSize { messages, bytes });
    let moves = (0..200u32, 1..120usize, 0..200u64, 0..60u64, 0..60u64, sizes);
    // Appends, reads and the clock take turns; most reads are near the end.
    for round in 0..3000u64 {
        let (dice, length, wait, back, span, size) = moves.new_tree(&mut runner).unwrap().current();
        fixture.clock.advance(Duration::from_millis(wait));
        if round % 3 == 0 {
            let room = if dice == 0 { 3 } else { dice as usize % 3 };
            let data = format!("\"{}\"", "x".repeat(length));
            fixture.send(draft(names[room], &data)).await;
            let offset = fixture.nth(fixture.offset("/").await);
            sent[room].push((offset, data.len()));
        }
        if round % 700 == 699 {
            fixture.log.trim_all(fixture.clock.now()).await;
        }
        let after = fixture
            .nth(fixture.offset("/").await)
            .saturating_sub(back * back / 8);
        let until = after + span;
        for (name, sent) in names.iter().zip(&sent) {
            let missed = fixture.missed_between(name, after, until, size).await;
            let oldest = fixture.page(name, Range::Last, 0).await.oldest;
            let parts = sent.split_at(oldest.0 as usize - 1);
            assert_eq!(
                (fixture.offsets(&missed), missed.more, missed.complete),
                expected(parts, (after, until), size),
                "round {round}: {name} from {oldest}, {after}..={until}, {size:?}"
            );
        }
    }
    let lengths = sent.map(|sent| sent.len());
    assert!(lengths[..3].iter().all(|length| *length > 100) && lengths[3] > 0);
}
