//! What a charge reserves as it grows and shrinks.

use super::*;

fn charge(pool: &Arc<Pool>) -> Charge {
    Charge::new(pool.clone(), Holder::Backend, 100)
}

#[test]
fn what_is_small_costs_nothing_and_what_is_not_costs_all_of_it() {
    let pool = Pool::new(4 * STEP);
    let mut charge = charge(&pool);
    charge.cover(100).unwrap();
    assert_eq!(pool.used(), 0);
    charge.cover(101).unwrap();
    assert_eq!(pool.used(), STEP);
    charge.cover(STEP + 1).unwrap();
    assert_eq!(pool.used(), 2 * STEP);
    assert_eq!(charge.cover(5 * STEP), Err(Exhausted::Pool));
    assert_eq!(pool.used(), 2 * STEP, "as before");
    charge.cover(10).unwrap();
    assert_eq!(pool.used(), 0);
}

#[test]
fn what_shrinks_gives_back_all_but_a_step_and_the_rest_when_it_ends() {
    let pool = Pool::new(0);
    let mut charge = charge(&pool);
    charge.cover(8 * STEP).unwrap();
    charge.cover(7 * STEP).unwrap();
    assert_eq!(pool.used(), 8 * STEP, "it may grow again");
    charge.cover(2 * STEP).unwrap();
    assert_eq!(pool.used(), 2 * STEP);
    let kept = charge.into_reservation();
    assert_eq!(pool.used(), 2 * STEP);
    drop(kept);
    assert_eq!(pool.used(), 0);
}
