//! When checks fail and pass again, and when they are probed.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn health_with_check() -> (Health, Arc<HealthCheck>) {
    let mut health = Health::default();
    let check = health.add_check("write", Some(3));
    (health, check)
}

#[test]
fn a_failing_check_is_reported_with_its_shard_and_reason_until_it_passes() {
    let (health, check) = health_with_check();
    let begin = Instant::now();
    assert!(health.ensure_passing().is_ok());
    check.record_failure_at("disk full".into(), begin);
    let error = health.ensure_passing().unwrap_err();
    assert_eq!(error.message(), "write fails in shard 3: disk full");
    assert!(error.retry_after_ms().is_some());
    assert_eq!(health.checks(), [("write", false)]);
    check.record_success_at(begin + 2 * SECOND);
    assert!(health.ensure_passing().is_ok());
}

#[test]
fn a_success_between_failures_does_not_make_the_node_ready() {
    let (health, check) = health_with_check();
    let begin = Instant::now();
    for nth in 0..20 {
        check.record_failure_at("out of memory".into(), begin + nth * SECOND / 4);
        check.record_success_at(begin + nth * SECOND / 4 + SECOND / 8);
        assert!(health.ensure_passing().is_err());
    }
}

#[test]
fn a_check_passes_only_if_it_passes_in_every_shard() {
    let mut health = Health::default();
    let [_, second] = [1, 2].map(|shard| health.add_check("write", Some(shard)));
    health.add_check("read", None);
    second.record_failure("no");
    assert_eq!(health.checks(), [("write", false), ("read", true)]);
}

#[test]
fn a_check_that_is_exercised_is_not_probed() {
    let (_, check) = health_with_check();
    let mut schedule = ProbeSchedule::of(check.clone());
    assert!(schedule.is_due());
    check.record_success();
    assert!(!schedule.is_due());
    assert!(schedule.delay() <= PROBE_IDLE && schedule.delay() > PROBE_IDLE / 2);
    check.record_failure("no");
    assert!(schedule.is_due());
    assert!(schedule.delay() <= SECOND);
}
