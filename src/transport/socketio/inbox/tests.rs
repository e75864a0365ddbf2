//! When an inbox pauses reads, and when it refuses.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::{
    limits::{Holder, Pool},
    transport::wire,
};

fn pair(limits: InboxLimits) -> (InboxSender, InboxReceiver) {
    pair_of(limits, &Pool::new(0))
}

fn pair_of(limits: InboxLimits, memory: &Arc<Pool>) -> (InboxSender, InboxReceiver) {
    let outbox = wire::testing::outbox();
    let charge = Charge::new(memory.clone(), Holder::Backend, UNCHARGED_BYTES);
    channel(limits, Namespace::root(), (outbox, charge), Arc::default())
}

fn packet(bytes: usize) -> EventPacket {
    EventPacket {
        text: "x".repeat(bytes).into(),
        attachments: None,
        ack: None,
        is_json: false,
    }
}

fn limits(events: usize, bytes: usize, payload: usize) -> InboxLimits {
    InboxLimits {
        events,
        bytes,
        payload,
    }
}

/// The next packet.
async fn take(receiver: &mut InboxReceiver) -> EventPacket {
    match receiver.next().await {
        Received::Packet(packet) => packet,
        Received::Quiet | Received::Ended => panic!("no packet"),
    }
}

#[tokio::test]
async fn past_half_of_its_limits_an_inbox_pauses_reads_and_refuses_nothing_yet() {
    for limits in [
        limits(4, 100_000, 0),
        limits(1_000, 5 * (100 + PACKET_OVERHEAD), 0),
    ] {
        let (inbox, mut receiver) = pair(limits);
        for sent in 1..=4 {
            assert!(inbox.inbox.push(packet(100)).is_ok());
            assert_eq!(inbox.inbox.outbox.reads_paused(), sent > 2);
        }
        let outbox = inbox.inbox.outbox.clone();
        let reads_resumed = tokio::spawn(async move { outbox.reads_resumed().await });
        for left in (1..=3).rev() {
            take(&mut receiver).await;
            assert_eq!(inbox.inbox.outbox.reads_paused(), left > 2);
        }
        reads_resumed.await.unwrap();
    }
}

#[tokio::test]
async fn with_memory_exhausted_an_inbox_pauses_reads_and_keeps_its_packets() {
    let memory = Pool::new(UNCHARGED_BYTES);
    let (inbox, mut receiver) = pair_of(limits(1_000, 1 << 20, 0), &memory);
    for sent in 1..=4 {
        assert!(inbox.inbox.push(packet(UNCHARGED_BYTES / 3)).is_ok());
        assert_eq!(inbox.inbox.outbox.reads_paused(), sent > 2);
    }
    for left in (0..4).rev() {
        take(&mut receiver).await;
        assert_eq!(inbox.inbox.outbox.reads_paused(), left > 2);
    }
    assert!(inbox.inbox.push(packet(UNCHARGED_BYTES)).is_ok());
    drop(receiver);
    assert!(!inbox.inbox.outbox.reads_paused() && memory.used() == 0);
}

#[tokio::test]
async fn a_whole_payload_fits_beyond_the_limit_and_more_is_refused() {
    let one = 10 + PACKET_OVERHEAD;
    let (inbox, mut receiver) = pair(limits(2, 2 * one, 5 * one));
    for _ in 0..7 {
        assert!(inbox.inbox.push(packet(10)).is_ok());
    }
    assert!(inbox.inbox.push(packet(10)).is_err());
    take(&mut receiver).await;
    assert!(inbox.inbox.push(packet(10)).is_ok());
}

#[tokio::test]
async fn one_packet_larger_than_the_limit_passes_alone() {
    let (inbox, mut receiver) = pair(limits(3, 10, 0));
    assert!(inbox.inbox.push(packet(50)).is_ok());
    assert!(inbox.inbox.push(packet(1)).is_err());
    take(&mut receiver).await;
    assert!(inbox.inbox.push(packet(1)).is_ok());
}

#[tokio::test]
async fn a_connection_that_ends_with_a_full_inbox_resumes_reads() {
    let (inbox, mut receiver) = pair(limits(4, 100_000, 0));
    let outbox = inbox.inbox.outbox.clone();
    for _ in 0..3 {
        assert!(inbox.inbox.push(packet(1)).is_ok());
    }
    assert!(outbox.reads_paused());
    take(&mut receiver).await;
    assert!(!outbox.reads_paused(), "half full");
    assert!(inbox.inbox.push(packet(1)).is_ok());
    assert!(outbox.reads_paused());
    drop(receiver);
    assert!(!outbox.reads_paused());
    assert!(inbox.inbox.push(packet(1)).is_err() && !outbox.reads_paused());
}

/// A worker that counts how often it is resumed.
fn worker(resumed: &Arc<AtomicUsize>) -> ParkedWorker {
    let resumed = resumed.clone();
    Box::new(move || {
        resumed.fetch_add(1, Ordering::Relaxed);
    })
}

#[tokio::test]
async fn a_parked_worker_is_resumed_by_a_packet_or_by_the_end_of_its_socket() {
    let (sender, mut receiver) = pair(limits(8, 1 << 20, 0));
    let resumed = Arc::new(AtomicUsize::new(0));
    receiver.inbox().park(worker(&resumed), || false);
    assert_eq!(resumed.load(Ordering::Relaxed), 0);
    assert!(sender.inbox.push(packet(1)).is_ok());
    assert_eq!(resumed.load(Ordering::Relaxed), 1);
    take(&mut receiver).await;
    receiver.inbox().park(worker(&resumed), || false);
    receiver.inbox().resume_worker();
    receiver.inbox().resume_worker();
    assert_eq!(resumed.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_worker_is_not_parked_when_something_has_come_or_its_socket_has_ended() {
    let (sender, receiver) = pair(limits(8, 1 << 20, 0));
    let resumed = Arc::new(AtomicUsize::new(0));
    receiver.inbox().park(worker(&resumed), || true);
    assert_eq!(resumed.load(Ordering::Relaxed), 1);
    assert!(sender.inbox.push(packet(1)).is_ok());
    receiver.inbox().park(worker(&resumed), || false);
    assert_eq!(resumed.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn only_a_worker_that_was_not_used_since_the_last_look_is_asked_to_park() {
    let (sender, mut receiver) = pair(limits(8, 1 << 20, 0));
    assert!(!receiver.inbox().ask_to_park());
    assert!(sender.inbox.push(packet(1)).is_ok());
    assert!(!receiver.inbox().ask_to_park());
    assert!(receiver.inbox().ask_to_park());
    take(&mut receiver).await;
    assert!(matches!(receiver.next().await, Received::Quiet));
}
