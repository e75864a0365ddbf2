use super::*;

#[test]
fn an_address_that_fails_again_and_again_is_told_so_and_others_are_not() {
    let failures = AuthFailures::new(Rate::new(1, 3));
    let [one, other] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
    let bad = || Error::unauthorized("bad");
    for _ in 0..3 {
        assert_eq!(failures.note(one, bad()).code(), Code::Unauthorized);
    }
    let refused = failures.note(one, bad());
    assert_eq!(refused.code(), Code::RateLimited);
    assert!(refused.retry_after_ms() >= Some(1_000));
    assert_eq!(failures.note(other, bad()).code(), Code::Unauthorized);
}

#[test]
fn signatures_are_verified_until_too_many_of_an_address_were_wrong() {
    let failures = AuthFailures::new(Rate::new(1, 3));
    let [one, other] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
    for _ in 0..5 {
        failures.note(one, Error::unauthorized("no token at all"));
    }
    for _ in 0..3 {
        assert!(failures.check_forged(one).is_ok());
        failures.note_forged(one);
    }
    let refused = failures.check_forged(one).unwrap_err();
    assert_eq!(refused.code(), Code::RateLimited);
    assert!(failures.check_forged(other).is_ok());
}
