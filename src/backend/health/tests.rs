use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn watched() -> (Health, Arc<HealthCheck>) {
    let mut health = Health::default();
    let watch = health.watch("write", Some(3));
    (health, watch)
}

#[test]
fn what_fails_is_said_with_its_shard_and_its_reason_until_it_works() {
    let (health, watch) = watched();
    let begin = Instant::now();
    assert!(health.ensure_passing().is_ok());
    watch.record_failure_at("disk full".into(), begin);
    let said = health.ensure_passing().unwrap_err();
    assert_eq!(said.message(), "write fails in shard 3: disk full");
    assert!(said.retry_after_ms().is_some());
    assert_eq!(health.checks(), [("write", false)]);
    watch.record_success_at(begin + 2 * SECOND);
    assert!(health.ensure_passing().is_ok());
}

#[test]
fn a_success_between_failures_makes_nobody_ready() {
    let (health, watch) = watched();
    let begin = Instant::now();
    for nth in 0..20 {
        watch.record_failure_at("out of memory".into(), begin + nth * SECOND / 4);
        watch.record_success_at(begin + nth * SECOND / 4 + SECOND / 8);
        assert!(health.ensure_passing().is_err());
    }
}

#[test]
fn a_check_works_only_if_it_does_in_every_shard() {
    let mut health = Health::default();
    let [_, second] = [1, 2].map(|shard| health.watch("write", Some(shard)));
    health.watch("read", None);
    second.record_failure("no");
    assert_eq!(health.checks(), [("write", false), ("read", true)]);
}

#[test]
fn nothing_is_probed_while_it_is_done_anyway() {
    let (_, watch) = watched();
    let mut pace = ProbeSchedule::of(watch.clone());
    assert!(pace.is_due());
    watch.record_success();
    assert!(!pace.is_due());
    assert!(pace.delay() <= PROBE_IDLE && pace.delay() > PROBE_IDLE / 2);
    watch.record_failure("no");
    assert!(pace.is_due());
    assert!(pace.delay() <= SECOND);
}
