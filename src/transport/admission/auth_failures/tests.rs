//! Rates of failed authentication.

use super::*;

#[test]
fn an_address_that_keeps_failing_is_rate_limited_and_others_are_not() {
    let failures = AuthFailures::new(Rate::new(1, 3));
    let [one, other] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
    let bad = || Error::unauthorized("bad");
    for _ in 0..3 {
        assert_eq!(failures.record(one, bad()).code(), Code::Unauthorized);
    }
    let refused = failures.record(one, bad());
    assert_eq!(refused.code(), Code::RateLimited);
    assert!(refused.retry_after_ms() >= Some(1_000));
    assert_eq!(failures.record(other, bad()).code(), Code::Unauthorized);
}

#[test]
fn expensive_signatures_are_refused_after_too_many_wrong_ones() {
    let failures = AuthFailures::new(Rate::new(1, 3));
    let [one, other] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
    for _ in 0..5 {
        failures.record(one, Error::unauthorized("no token at all"));
    }
    for _ in 0..3 {
        assert!(failures.check_bad_signatures(one).is_ok());
        failures.record_bad_signature(one);
    }
    let refused = failures.check_bad_signatures(one).unwrap_err();
    assert_eq!(refused.code(), Code::RateLimited);
    assert!(failures.check_bad_signatures(other).is_ok());
}
