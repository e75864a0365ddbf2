//! When workers are asked to give up their tasks, and when they have them back.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{
    limits::{Charge, Holder, Pool},
    model::Namespace,
    transport::{
        socketio::inbox::{self, InboxLimits, InboxReceiver, Received},
        wire,
    },
};

fn receiver() -> InboxReceiver {
    let limits = InboxLimits {
        events: 8,
        bytes: 1 << 20,
        payload: 0,
    };
    let charge = Charge::new(Pool::new(0), Holder::Backend, inbox::UNCHARGED_BYTES);
    let outbox = wire::testing::outbox();
    inbox::channel(limits, Namespace::root(), (outbox, charge), Arc::default()).1
}

/// The looks that are made by hand.
fn parking() -> Parking {
    Parking {
        state: Mutex::default(),
        runtime: Handle::current(),
    }
}

#[tokio::test]
async fn a_worker_that_received_nothing_from_one_look_to_the_next_is_asked_to_give_up_its_task() {
    let (parking, mut receiver) = (parking(), receiver());
    parking.watch(receiver.inbox());
    parking.look(Instant::now());
    parking.look(Instant::now());
    assert!(matches!(receiver.next().await, Received::Quiet));
    assert!(lock(&parking.state).active.is_empty());
}

#[tokio::test]
async fn a_parked_worker_has_its_task_back_before_its_token_expires_and_is_scheduled_once() {
    let (parking, receiver) = (parking(), receiver());
    let resumed = Arc::new(AtomicUsize::new(0));
    let park = || {
        let resumed = resumed.clone();
        let resume = move || {
            resumed.fetch_add(1, Ordering::Relaxed);
        };
        receiver.inbox().park(Box::new(resume), || false);
    };
    let now = Instant::now();
    let expires_at = now + Duration::from_secs(60);
    for _ in 0..3 {
        assert!(parking.allows(receiver.inbox(), Some(expires_at)));
        park();
        receiver.inbox().resume_worker();
    }
    assert_eq!(resumed.swap(0, Ordering::Relaxed), 3);
    assert_eq!(lock(&parking.state).deadlines.len(), 1);
    park();
    parking.look(now + Duration::from_secs(50));
    assert_eq!(resumed.load(Ordering::Relaxed), 0);
    parking.look(now + Duration::from_secs(56));
    assert_eq!(resumed.load(Ordering::Relaxed), 1);
    // Once it has been resumed it may ask again, for a token that was renewed.
    let renewed = expires_at + Duration::from_secs(60);
    assert!(parking.allows(receiver.inbox(), Some(renewed)));
    assert_eq!(lock(&parking.state).deadlines.len(), 1);
}

#[tokio::test]
async fn deadlines_of_connections_that_have_ended_are_removed() {
    let (parking, open) = (parking(), receiver());
    let expires_at = Instant::now() + Duration::from_secs(86_400);
    assert!(parking.allows(open.inbox(), Some(expires_at)));
    for _ in 0..MIN_ENDED {
        assert!(parking.allows(receiver().inbox(), Some(expires_at)));
    }
    parking.look(Instant::now());
    assert_eq!(lock(&parking.state).deadlines.len(), 1);
}

#[tokio::test]
async fn a_worker_whose_token_expires_soon_keeps_its_task() {
    let (parking, receiver) = (parking(), receiver());
    let soon = Instant::now() + MIN_PARKED;
    assert!(!parking.allows(receiver.inbox(), Some(soon)));
    assert!(parking.allows(receiver.inbox(), None));
    assert!(lock(&parking.state).deadlines.is_empty());
}
