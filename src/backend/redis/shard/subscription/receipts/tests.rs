//! When receipts are settled.

use std::sync::Arc;

use tokio::sync::{
    Semaphore,
    oneshot::{self, error::TryRecvError},
};

use super::*;
use crate::{
    backend::Appended,
    error::Result,
    model::{Epoch, MessageId, Seq, Timestamp},
};

const NONE: Offset = Offset(0);

struct Pending(oneshot::Receiver<Result<Appended>>);

impl Pending {
    fn is_settled(&mut self) -> bool {
        !matches!(self.0.try_recv(), Err(TryRecvError::Empty))
    }
}

fn receipt(offset: u64) -> (PendingReceipt, Pending) {
    let (settle, receiver) = oneshot::channel();
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let appended = Appended {
        id: MessageId::generate(),
        seq: Seq(1),
        epoch: Epoch::generate(),
        ts: Timestamp(0),
        duplicate: false,
    };
    let receipt = PendingReceipt {
        offset: Offset(offset),
        appended,
        settle,
        _permit: permit,
    };
    (receipt, Pending(receiver))
}

/// Adds a receipt of a room that was delivered up to 10.
fn add(tracker: &mut ReceiptTracker, offset: u64) -> Pending {
    let (receipt, pending) = receipt(offset);
    tracker.add("r", receipt, Some(Offset(10)), NONE);
    pending
}

#[test]
fn a_receipt_of_a_room_that_is_not_followed_is_settled_at_once() {
    let mut tracker = ReceiptTracker::new(false);
    let (receipt, mut pending) = receipt(11);
    tracker.add("r", receipt, None, NONE);
    assert!(pending.is_settled());
}

#[test]
fn without_a_merger_a_receipt_is_settled_by_the_delivery() {
    let mut tracker = ReceiptTracker::new(true);
    let mut delivered = add(&mut tracker, 10);
    assert!(delivered.is_settled(), "delivered before");
    let mut pending = add(&mut tracker, 11);
    tracker.delivered("other", Offset(20));
    tracker.forwarded(NONE);
    assert!(!pending.is_settled());
    tracker.delivered("r", Offset(11));
    tracker.forwarded(NONE);
    assert!(pending.is_settled());
}

#[test]
fn with_a_merger_a_receipt_is_settled_once_its_message_is_forwarded() {
    let mut tracker = ReceiptTracker::new(false);
    let (mut one, mut two) = (add(&mut tracker, 11), add(&mut tracker, 12));
    tracker.delivered("r", Offset(12));
    tracker.forwarded(Offset(11));
    assert!(one.is_settled() && !two.is_settled());
    tracker.forwarded(Offset(12));
    assert!(two.is_settled());
}

#[test]
fn a_receipt_that_does_not_move_from_one_tick_to_the_next_is_settled() {
    let mut tracker = ReceiptTracker::new(false);
    let (mut merging, mut undelivered) = (add(&mut tracker, 10), add(&mut tracker, 11));
    tracker.tick(false);
    assert!(!merging.is_settled());
    tracker.tick(false);
    assert!(merging.is_settled() && undelivered.is_settled());
    let mut later = add(&mut tracker, 10);
    assert!(later.is_settled(), "still stalled");
    tracker.resume(NONE);
    later = add(&mut tracker, 10);
    assert!(!later.is_settled());
}

#[test]
fn a_full_output_settles_everything() {
    let mut tracker = ReceiptTracker::new(false);
    let mut pending = add(&mut tracker, 11);
    tracker.tick(true);
    assert!(pending.is_settled());
}

#[test]
fn receipts_of_messages_that_will_not_be_delivered_are_settled() {
    let mut tracker = ReceiptTracker::new(false);
    let (mut lost, mut kept) = (add(&mut tracker, 11), add(&mut tracker, 12));
    tracker.skipped("r", Offset(11));
    assert!(lost.is_settled() && !kept.is_settled());
    tracker.unfollowed("r");
    assert!(kept.is_settled());
}
