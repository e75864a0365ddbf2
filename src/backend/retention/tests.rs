use super::*;

#[test]
fn the_first_rule_that_matches_wins() {
    let keep = |messages| Keep { messages, age: DAY };
    let retention = Retention {
        default: keep(1),
        rules: vec![
            (Pattern::parse("team:*").unwrap(), keep(2)),
            (Pattern::any(), keep(3)),
        ],
    };
    let of = |name| retention.keep(&RoomName::parse(name).unwrap()).messages;
    assert_eq!((of("team:7"), of("lobby")), (2, 3));
    assert_eq!(
        Retention::default()
            .keep(&RoomName::parse("x").unwrap())
            .messages,
        10_000
    );
}

#[test]
fn trimming_starts_a_tenth_or_64_above_the_limit() {
    let keep = |messages| Keep { messages, age: DAY };
    assert!(!keep(10).overfull(Seq(1), Seq(74)));
    assert!(keep(10).overfull(Seq(1), Seq(75)));
    assert!(!keep(1000).overfull(Seq(1), Seq(1100)));
    assert!(keep(1000).overfull(Seq(1), Seq(1101)));
    assert!(!keep(u64::MAX).overfull(Seq(1), Seq(u64::MAX - 1)));
    assert_eq!(keep(10).first_by_count(Seq(75)), Seq(66));
    assert_eq!(keep(0).first_by_count(Seq(75)), Seq(76));
    assert_eq!(keep(10).first_by_count(Seq(3)), Seq(1));
}

#[test]
fn trimming_takes_a_tenth_of_the_time_at_most() {
    let took = Duration::from_millis(7);
    assert_eq!(rest(true, took), took * 9);
    assert_eq!(rest(true, Duration::ZERO), Duration::from_millis(10));
    assert_eq!(rest(true, Duration::from_secs(9)), Duration::from_secs(1));
    assert_eq!(rest(false, took), PASS);
}
