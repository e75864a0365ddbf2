//! Fair shares of a pool.

use super::*;
use proptest::prelude::*;

fn user(name: &str) -> Holder {
    Holder::User(UserId::parse(name).unwrap())
}

#[test]
fn one_holder_leaves_half_of_the_pool_to_others_and_each_of_those_gets_a_share() {
    let pool = Pool::new(160);
    let mut greedy = pool.take(user("greedy"), 80).unwrap();
    assert_eq!(greedy.grow(1), Err(Exhausted::Share));
    let others: Vec<_> = (0..8)
        .map(|other| pool.take(user(&format!("u{other}")), 10).unwrap())
        .collect();
    assert_eq!(
        pool.take(user("late"), 1).unwrap_err(),
        Exhausted::Pool,
        "the pool is exhausted"
    );
    drop(others);
    assert_eq!(pool.used(), 80);
}

#[test]
fn a_split_reservation_is_released_separately() {
    let pool = Pool::new(100);
    let mut reservation = pool.take(user("a"), 50).unwrap();
    let part = reservation.split(20);
    assert_eq!(
        (reservation.units(), part.units(), pool.used()),
        (30, 20, 50)
    );
    drop(reservation);
    assert_eq!(pool.used(), 20);
    drop(part);
    assert_eq!(pool.used(), 0);
}

#[test]
fn a_reservation_attached_to_bytes_is_released_with_their_last_slice() {
    let pool = Pool::new(100);
    let held = pool.take(user("a"), 5).unwrap();
    let bytes = held.attach_to(Bytes::from_static(b"bytes"));
    let part = bytes.slice(1..3);
    drop(bytes);
    assert_eq!((&part[..], pool.used()), (&b"yt"[..], 5));
    drop(part);
    assert_eq!(pool.used(), 0);
}

#[test]
fn a_backend_is_limited_by_the_pool_only() {
    let pool = Pool::new(100);
    let backend = pool.take(Holder::Backend, 100).unwrap();
    assert_eq!(pool.take(Holder::Backend, 1).unwrap_err(), Exhausted::Pool);
    drop(backend);
    assert_eq!(pool.used(), 0);
}

#[test]
fn addresses_of_one_ipv6_network_are_one_holder() {
    let address = |text: &str| Holder::address(text.parse().unwrap());
    assert_eq!(address("2001:db8::1"), address("2001:db8::2"));
    assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
}

#[test]
fn a_pool_of_size_zero_has_no_limit_and_counts() {
    let pool = Pool::new(0);
    let reservation = pool.take(user("a"), usize::MAX / 2).unwrap();
    assert_eq!(pool.used(), reservation.units());
}

proptest! {
    #[test]
    fn usage_is_the_sum_of_all_reservations_and_at_most_the_pool(
        steps in proptest::collection::vec((0u8..5, 0usize..40, any::<bool>()), 1..100),
    ) {
        let pool = Pool::new(100);
        let mut reservations: Vec<Reservation> = Vec::new();
        for (holder, units, release) in steps {
            if release && let Some(mut reservation) = reservations.pop() {
                reservation.shrink(units);
                if units % 2 == 0 {
                    reservations.push(reservation);
                }
            } else if let Ok(reservation) = pool.take(user(&holder.to_string()), units) {
                reservations.push(reservation);
            }
            prop_assert_eq!(pool.used(), reservations.iter().map(Reservation::units).sum::<usize>());
            prop_assert!(pool.used() <= 100);
        }
        drop(reservations);
        prop_assert!(pool.usage().by_holder.is_empty());
    }
}
