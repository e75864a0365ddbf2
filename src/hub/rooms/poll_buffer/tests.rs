//! Which messages a poll buffer returns, and when the log has to be read.

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

fn incarnation(text: &str) -> Incarnation {
    Incarnation::from_text(text)
}

fn epoch(text: &str) -> Epoch {
    Epoch::from_bits(text.len() as u64)
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

fn found(buffer: &PollBuffer, of: &str, since: u64) -> Option<Vec<u64>> {
    let since = Position {
        epoch: epoch(of),
        seq: Seq(since),
    };
    let new = buffer.messages_after(&since, SIZE, &incarnation("one"), NOW)?;
    Some(new.messages.iter().map(|message| message.seq.0).collect())
}

#[test]
fn deliveries_follow_what_was_read_whichever_came_first() {
    let buffer = PollBuffer::default();
    for seq in 4..=6 {
        buffer.push(message(seq, 10 * seq));
    }
    assert_eq!(found(&buffer, "e", 5), None, "the log has not been read");
    buffer.position_after(&page(5, 50), incarnation("one"));
    assert_eq!(found(&buffer, "e", 5), Some(vec![6]));
    assert_eq!(found(&buffer, "e", 6), Some(vec![]));
    assert_eq!(found(&buffer, "e", 4), None, "older than the buffer");
    assert_eq!(found(&buffer, "e", 7), None, "not stored yet");
    assert_eq!(found(&buffer, "other", 6), None);
    buffer.position_after(&page(8, 80), incarnation("one"));
    for seq in 7..=9 {
        buffer.push(message(seq, 10 * seq));
    }
    assert_eq!(found(&buffer, "e", 8), Some(vec![9]));
}

#[test]
fn after_a_gap_another_numbering_or_another_incarnation_the_log_is_read() {
    let buffer = PollBuffer::default();
    buffer.position_after(&page(5, 50), incarnation("one"));
    assert!(!buffer.is_positioned(&incarnation("other")));
    for (seq, offset) in [(7, 70), (1, 100)] {
        buffer.position_after(&page(5, 50), incarnation("one"));
        assert!(buffer.is_positioned(&incarnation("one")));
        buffer.push(message(seq, offset));
        assert!(!buffer.is_positioned(&incarnation("one")), "{seq}");
        buffer.push(message(seq + 1, offset + 1));
        buffer.position_after(&page(seq + 1, offset + 1), incarnation("one"));
        assert_eq!(found(&buffer, "e", seq + 1), Some(vec![]));
    }
}

#[test]
fn old_messages_are_read_from_the_log() {
    let buffer = PollBuffer::default();
    buffer.position_after(&page(0, 0), incarnation("one"));
    buffer.push(message(1, 1));
    let since = |seq| Position {
        epoch: epoch("e"),
        seq: Seq(seq),
    };
    let later = Timestamp(NOW.0 + MESSAGE_TTL + 1);
    let after = |seq| buffer.messages_after(&since(seq), SIZE, &incarnation("one"), later);
    assert!(after(0).is_none());
    assert!(after(1).is_some_and(|new| new.messages.is_empty()));
}

#[test]
fn a_bounded_number_of_messages_is_kept() {
    let buffer = PollBuffer::default();
    buffer.position_after(&page(0, 0), incarnation("one"));
    for seq in 1..=1000 {
        buffer.push(message(seq, seq));
    }
    assert_eq!(lock(&buffer.messages).messages.len(), MAX_MESSAGES);
    assert_eq!(found(&buffer, "e", 935), None);
    assert_eq!(found(&buffer, "e", 936).map(|found| found.len()), Some(64));
}
