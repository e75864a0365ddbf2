//! Tests of an endpoint's places.

use std::time::Duration;

use super::*;
use crate::model::UserId;

fn user(name: &str) -> Holder {
    Holder::User(UserId::parse(name).unwrap())
}

/// Whether a place is to be had at once.
fn take_now<'a>(places: &'a Places, client: Option<&Holder>) -> Option<Place<'a>> {
    let until = Instant::now() + Duration::from_secs(60);
    // Tokio has a task that never waits pause after 128 of these.
    tokio::task::unconstrained(places.take(client, until))
        .now_or_never()?
        .ok()
}

#[tokio::test]
async fn a_client_without_a_connection_has_an_eighth_of_the_places_and_others_have_the_rest() {
    for (size, share) in [
        (1, 1),
        (2, 1),
        (4, 2),
        (8, 4),
        (16, 4),
        (64, 8),
        (1000, 125),
    ] {
        let places = Places::new(size);
        let (alice, mut held) = (user("alice"), Vec::new());
        while let Some(place) = take_now(&places, Some(&alice)) {
            held.push(place);
        }
        assert_eq!(held.len(), share, "of {size}");
        if share < size {
            held.extend(take_now(&places, Some(&user("bob"))));
        }
        while let Some(place) = take_now(&places, None) {
            held.push(place);
        }
        assert_eq!((held.len(), places.taken()), (size, size));
        drop(held.remove(0));
        assert!(take_now(&places, Some(&alice)).is_some());
        drop(held);
        assert_eq!((places.taken(), places.waiting()), (0, 0));
    }
}

#[tokio::test]
async fn beyond_its_share_a_client_waits_until_then_and_no_more_wait_than_its_part() {
    let (places, alice) = (Places::new(16), user("alice"));
    let mut held: Vec<_> = (0..4).map(|_| take_now(&places, Some(&alice))).collect();
    let soon = Instant::now() + Duration::from_millis(20);
    let late = places.take(Some(&alice), soon).await;
    assert_eq!(late.err(), Some(HookFailure::Busy));
    let until = Instant::now() + Duration::from_secs(60);
    let mut waiting: Vec<_> = (0..400)
        .map(|_| Box::pin(places.take(Some(&alice), until)))
        .collect();
    for waits in &mut waiting {
        assert!(waits.now_or_never().is_none());
    }
    assert_eq!((places.taken(), places.waiting()), (4, 400));
    let refused = places.take(Some(&alice), until).now_or_never();
    assert_eq!(refused.unwrap().err(), Some(HookFailure::Busy));
    assert!(take_now(&places, Some(&user("bob"))).is_some());
    held.pop();
    assert!(waiting.swap_remove(0).await.is_ok());
}
