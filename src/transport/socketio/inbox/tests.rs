use super::*;
use crate::{
    limits::{Holder, Pool},
    transport::wire,
};

fn pair(bounds: Bounds) -> (Inbox, Waiting) {
    pair_of(bounds, &Pool::new(0))
}

fn pair_of(bounds: Bounds, memory: &Arc<Pool>) -> (Inbox, Waiting) {
    let outbox = wire::testing::outbox();
    let charge = Charge::new(memory.clone(), Holder::Backend, FREE);
    inbox(bounds, Namespace::root(), (outbox, charge), Arc::default())
}

fn packet(bytes: usize) -> Packet {
    Packet {
        text: "x".repeat(bytes).into(),
        attachments: None,
        ack: None,
    }
}

fn bounds(events: usize, bytes: usize, payload: usize) -> Bounds {
    Bounds {
        events,
        bytes,
        payload,
    }
}

#[tokio::test]
async fn past_half_of_what_may_wait_the_client_is_not_read_and_nothing_is_refused_yet() {
    for bounds in [
        bounds(4, 100_000, 0),
        bounds(1_000, 5 * (100 + OVERHEAD), 0),
    ] {
        let (inbox, mut waiting) = pair(bounds);
        for sent in 1..=4 {
            assert!(inbox.shared.offer(packet(100)).is_ok());
            assert_eq!(inbox.shared.outbox.brakes(), sent > 2);
        }
        let outbox = inbox.shared.outbox.clone();
        let eased = tokio::spawn(async move { outbox.eased().await });
        for left in (1..=3).rev() {
            waiting.next().await.unwrap();
            assert_eq!(inbox.shared.outbox.brakes(), left > 2);
        }
        eased.await.unwrap();
    }
}

#[tokio::test]
async fn without_memory_for_more_the_client_is_not_read_and_what_has_come_is_kept() {
    let memory = Pool::new(FREE);
    let (inbox, mut waiting) = pair_of(bounds(1_000, 1 << 20, 0), &memory);
    for sent in 1..=4 {
        assert!(inbox.shared.offer(packet(FREE / 3)).is_ok());
        assert_eq!(inbox.shared.outbox.brakes(), sent > 2);
    }
    for left in (0..4).rev() {
        waiting.next().await.unwrap();
        assert_eq!(inbox.shared.outbox.brakes(), left > 2);
    }
    assert!(inbox.shared.offer(packet(FREE)).is_ok());
    drop(waiting);
    assert!(!inbox.shared.outbox.brakes() && memory.used() == 0);
}

#[tokio::test]
async fn a_whole_payload_fits_beside_what_waits_and_more_is_refused() {
    let one = 10 + OVERHEAD;
    let (inbox, mut waiting) = pair(bounds(2, 2 * one, 5 * one));
    for _ in 0..7 {
        assert!(inbox.shared.offer(packet(10)).is_ok());
    }
    assert!(inbox.shared.offer(packet(10)).is_err());
    waiting.next().await.unwrap();
    assert!(inbox.shared.offer(packet(10)).is_ok());
}

#[tokio::test]
async fn one_packet_larger_than_the_bound_passes_alone() {
    let (inbox, mut waiting) = pair(bounds(3, 10, 0));
    assert!(inbox.shared.offer(packet(50)).is_ok());
    assert!(inbox.shared.offer(packet(1)).is_err());
    waiting.next().await.unwrap();
    assert!(inbox.shared.offer(packet(1)).is_ok());
}

#[tokio::test]
async fn a_connection_that_ends_with_a_full_inbox_lets_its_session_be_read_again() {
    let (inbox, mut waiting) = pair(bounds(4, 100_000, 0));
    let outbox = inbox.shared.outbox.clone();
    for _ in 0..3 {
        assert!(inbox.shared.offer(packet(1)).is_ok());
    }
    assert!(outbox.brakes());
    waiting.next().await.unwrap();
    assert!(!outbox.brakes(), "half of what may wait");
    assert!(inbox.shared.offer(packet(1)).is_ok());
    assert!(outbox.brakes());
    drop(waiting);
    assert!(!outbox.brakes());
    assert!(inbox.shared.offer(packet(1)).is_err() && !outbox.brakes());
}
