//! Which origins are logged, and which pages may connect.

mod pages;

use super::*;

#[test]
fn each_origin_is_logged_once_an_hour_up_to_a_limit() {
    let mut refused = RefusedOrigins::default();
    let now = Instant::now();
    assert!(refused.is_new("a", now));
    assert!(!refused.is_new("a", now));
    let more = (0..1000)
        .filter(|n| refused.is_new(&n.to_string(), now))
        .count();
    assert_eq!(more, MAX_LOGGED_ORIGINS - 1);
    assert!(refused.is_new("a", now + LOG_INTERVAL * 2));
}
