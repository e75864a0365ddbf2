use serde_json::value::RawValue;

use super::*;
use crate::model::{EventName, MessageId, Namespace, RoomKey, RoomName};

const SIZE: PageSize = PageSize {
    messages: 100,
    bytes: 1 << 20,
};

const NOW: Timestamp = Timestamp(1_000_000);

fn message(seq: u64, offset: u64) -> Arc<Message> {
    Arc::new(Message {
        room: RoomKey {
            namespace: Namespace::root(),
            room: RoomName::parse("lobby").unwrap(),
        },
        id: MessageId::parse("m").unwrap(),
        seq: Seq(seq),
        offset: Offset(offset),
        event: EventName::message(),
        from: None,
        data: RawValue::NULL.to_owned().into(),
        ts: NOW,
        except: None,
    })
}

fn epoch(text: &str) -> Epoch {
    Epoch::of_bits(text.len() as u64)
}

fn page(head: u64, offset: u64) -> Page {
    Page {
        epoch: epoch("e"),
        head: Seq(head),
        offset: Offset(offset),
        oldest: Seq(1),
        messages: Vec::new(),
        more: false,
    }
}

fn found(watched: &Watched, of: &str, since: u64) -> Option<Vec<u64>> {
    let since = Position {
        epoch: epoch(of),
        seq: Seq(since),
    };
    let newest = watched.after(&since, SIZE, &epoch("life"), NOW)?;
    Some(
        newest
            .messages
            .iter()
            .map(|message| message.seq.0)
            .collect(),
    )
}

#[test]
fn what_is_delivered_follows_what_was_read_whichever_came_first() {
    let watched = Watched::default();
    for seq in 4..=6 {
        watched.push(message(seq, 10 * seq));
    }
    assert_eq!(found(&watched, "e", 5), None, "nobody has read");
    watched.learn(&page(5, 50), epoch("life"));
    assert_eq!(found(&watched, "e", 5), Some(vec![6]));
    assert_eq!(found(&watched, "e", 6), Some(vec![]));
    assert_eq!(found(&watched, "e", 4), None, "that is older");
    assert_eq!(found(&watched, "e", 7), None, "that is not there yet");
    assert_eq!(found(&watched, "other", 6), None);
    watched.learn(&page(8, 80), epoch("life"));
    for seq in 7..=9 {
        watched.push(message(seq, 10 * seq));
    }
    assert_eq!(found(&watched, "e", 8), Some(vec![9]));
}

#[test]
fn a_hole_another_numbering_and_another_life_are_for_the_log() {
    let watched = Watched::default();
    watched.learn(&page(5, 50), epoch("life"));
    assert!(!watched.is_known(&epoch("other")));
    for (seq, offset) in [(7, 70), (1, 100)] {
        watched.learn(&page(5, 50), epoch("life"));
        assert!(watched.is_known(&epoch("life")));
        watched.push(message(seq, offset));
        assert!(!watched.is_known(&epoch("life")), "{seq}");
        watched.push(message(seq + 1, offset + 1));
        watched.learn(&page(seq + 1, offset + 1), epoch("life"));
        assert_eq!(found(&watched, "e", seq + 1), Some(vec![]));
    }
}

#[test]
fn what_is_old_is_for_the_log() {
    let watched = Watched::default();
    watched.learn(&page(0, 0), epoch("life"));
    watched.push(message(1, 1));
    let since = |seq| Position {
        epoch: epoch("e"),
        seq: Seq(seq),
    };
    let later = Timestamp(NOW.0 + KEPT_FOR + 1);
    let after = |seq| watched.after(&since(seq), SIZE, &epoch("life"), later);
    assert!(after(0).is_none());
    assert!(after(1).is_some_and(|newest| newest.messages.is_empty()));
}

#[test]
fn a_bounded_number_is_kept() {
    let watched = Watched::default();
    watched.learn(&page(0, 0), epoch("life"));
    for seq in 1..=1000 {
        watched.push(message(seq, seq));
    }
    assert_eq!(lock(&watched.state).messages.len(), MESSAGES);
    assert_eq!(found(&watched, "e", 935), None);
    assert_eq!(found(&watched, "e", 936).map(|found| found.len()), Some(64));
}
