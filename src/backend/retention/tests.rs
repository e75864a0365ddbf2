//! Which policy applies to a room, and when trimming starts.

use super::*;

#[test]
fn the_first_rule_that_matches_wins() {
    let policy = |messages| RetentionPolicy { messages, age: DAY };
    let retention = Retention {
        default: policy(1),
        policies: Vec::new(),
        rules: vec![
            (Pattern::parse("team:*").unwrap(), policy(2)),
            (Pattern::any(), policy(3)),
        ],
    };
    let of = |name| retention.policy(&RoomName::parse(name).unwrap()).messages;
    assert_eq!((of("team:7"), of("lobby")), (2, 3));
    assert_eq!(
        Retention::default()
            .policy(&RoomName::parse("x").unwrap())
            .messages,
        10_000
    );
}

#[test]
fn trimming_starts_a_tenth_or_64_above_the_limit() {
    let policy = |messages| RetentionPolicy { messages, age: DAY };
    assert!(!policy(10).exceeds_limit(Seq(1), Seq(74)));
    assert!(policy(10).exceeds_limit(Seq(1), Seq(75)));
    assert!(!policy(1000).exceeds_limit(Seq(1), Seq(1100)));
    assert!(policy(1000).exceeds_limit(Seq(1), Seq(1101)));
    assert!(!policy(u64::MAX).exceeds_limit(Seq(1), Seq(u64::MAX - 1)));
    assert_eq!(policy(10).first_by_count(Seq(75)), Seq(66));
    assert_eq!(policy(0).first_by_count(Seq(75)), Seq(76));
    assert_eq!(policy(10).first_by_count(Seq(3)), Seq(1));
}

#[test]
fn trimming_takes_a_tenth_of_the_time_at_most() {
    let took = Duration::from_millis(7);
    assert_eq!(trim_delay(true, took), took * 9);
    assert_eq!(trim_delay(true, Duration::ZERO), Duration::from_millis(10));
    assert_eq!(
        trim_delay(true, Duration::from_secs(9)),
        Duration::from_secs(1)
    );
    assert_eq!(trim_delay(false, took), PASS_INTERVAL);
}
