//! What the fuzzers in `fuzz/` do with the bytes of clients of documents. Each panics if a parser breaks its promise.

use std::time::Instant;

use super::{
    Message, SyncMessage,
    awareness::Awareness,
    encoding::Reader,
    hocuspocus_message::{self, ClientFrame, ClientMessage},
    merge, sync_message, walk,
};
use crate::model::NodeId;

/// A frame of either protocol.
pub(crate) fn parse_message(frame: &[u8]) {
    for message in sync_message::parse(frame) {
        match message {
            Ok(Message::Sync(sync)) => parse_sync(sync),
            Ok(Message::Awareness(states)) => apply_awareness(states),
            Ok(_) | Err(_) => {}
        }
    }
    match hocuspocus_message::parse(frame) {
        Ok(ClientFrame::Message(_, ClientMessage::Sync(sync))) => parse_sync(sync),
        Ok(ClientFrame::Message(_, ClientMessage::Awareness(states))) => apply_awareness(states),
        Ok(_) | Err(_) => {}
    }
}

fn parse_sync(message: SyncMessage<'_>) {
    match message {
        SyncMessage::Step1(state_vector) => {
            let checked = walk::check_state_vector(state_vector);
            let diff = merge::diff(merge::EMPTY_UPDATE, state_vector);
            assert_eq!(checked.is_ok(), diff.is_ok(), "{checked:?} {diff:?}");
        }
        SyncMessage::Step2(update) | SyncMessage::Update(update) => merge_checked(&[update]),
    }
}

fn apply_awareness(states: &[u8]) {
    let mut awareness = Awareness::new(1 << 10);
    if let Ok(Some(new)) = awareness.apply((), states, Instant::now()) {
        let mut other = Awareness::<()>::new(1 << 10);
        let applied = other.apply_remote(NodeId::generate(), &new, Instant::now());
        applied.expect("what is passed on is accepted by the next node");
    }
}

/// Updates, each with its length before it.
pub(crate) fn merge_updates(input: &[u8]) {
    let mut reader = Reader::new(input);
    let mut updates = Vec::new();
    while let Ok(update) = reader.var_bytes() {
        updates.push(update);
        if updates.len() > 8 {
            break;
        }
    }
    merge_checked(&updates);
}

/// Merges those updates that are accepted: that cannot fail, and nothing is missing from what comes out.
fn merge_checked(updates: &[&[u8]]) {
    let accepted = |update: &&&[u8]| walk::check_update(update).is_ok();
    let updates: Vec<&[u8]> = updates.iter().filter(accepted).copied().collect();
    let merged = merge::merge(&updates).expect("accepted updates can be merged");
    walk::check_update(&merged).expect("what is merged is accepted");
    for update in &updates {
        let contained = merge::contains(&merged, update);
        assert!(contained.expect("accepted updates can be compared"));
    }
    let state_vector = merge::state_vector(&merged).expect("what is merged has a state vector");
    walk::check_state_vector(&state_vector).expect("it is accepted");
    let diff = merge::diff(&merged, &state_vector).expect("it can be compared with itself");
    walk::check_update(&diff).expect("a difference is accepted");
    let compacted = merge::compact(&updates).expect("accepted updates can be compacted");
    walk::check_update(&compacted).expect("what is compacted is accepted");
    let after = merge::state_vector(&compacted).expect("what is compacted has a state vector");
    assert_eq!(after, state_vector, "compaction loses no struct");
}
