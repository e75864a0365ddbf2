//! What a charge reserves as its buffer grows and shrinks.

use super::*;

fn charge(pool: &Arc<Pool>) -> Charge {
    Charge::new(pool.clone(), Holder::Backend, 100)
}

#[test]
fn a_small_buffer_is_free_and_a_larger_one_is_reserved_in_full() {
    let pool = Pool::new(4 * STEP);
    let mut charge = charge(&pool);
    charge.resize(100).unwrap();
    assert_eq!(pool.used(), 0);
    charge.resize(101).unwrap();
    assert_eq!(pool.used(), STEP);
    charge.resize(STEP + 1).unwrap();
    assert_eq!(pool.used(), 2 * STEP);
    assert_eq!(charge.resize(5 * STEP), Err(Exhausted::Pool));
    assert_eq!(pool.used(), 2 * STEP, "a failed resize changes nothing");
    charge.resize(10).unwrap();
    assert_eq!(pool.used(), 0);
}

#[test]
fn a_shrinking_buffer_releases_all_but_a_step_and_the_rest_when_dropped() {
    let pool = Pool::new(0);
    let mut charge = charge(&pool);
    charge.resize(8 * STEP).unwrap();
    charge.resize(7 * STEP).unwrap();
    assert_eq!(pool.used(), 8 * STEP, "it may grow again");
    charge.resize(2 * STEP).unwrap();
    assert_eq!(pool.used(), 2 * STEP);
    drop(charge);
    assert_eq!(pool.used(), 0);
}
