//! What a report says, and when it is a failure.

use super::*;
use crate::load::plan::{Transport, tests::plan};

fn facts<'a>(plan: &'a Plan, recorder: &'a Recorder) -> Facts<'a> {
    Facts {
        plan,
        totals: Totals {
            joined: 10,
            came: 10,
            sent: 5,
            acked: 5,
            deliveries: 50,
            expected_deliveries: 50,
            ..Totals::default()
        },
        window: Totals {
            sent: 4,
            deliveries: 40,
            ..Totals::default()
        },
        took: Duration::from_secs(2),
        ramp: Duration::from_millis(500),
        usage: [
            Some(Usage {
                cpu: Duration::from_micros(400),
                memory: 30 << 20,
            }),
            None,
        ],
        pid: Some(7),
        memory: [20 << 20, 40 << 20],
        storms: &[],
        recorder,
        lost: Lost::default(),
        drained: true,
        stopped: false,
        refusals: Vec::new(),
    }
}

#[test]
fn rates_and_costs_are_those_of_what_was_measured() {
    let (plan, recorder) = (plan(Transport::SocketIo, 10, 1, 1), Recorder::new());
    let report = facts(&plan, &recorder).report();
    assert!(report.ok);
    assert_eq!(
        (report.messages.per_second, report.deliveries.per_second),
        (2.0, 20.0)
    );
    assert_eq!(report.connect.per_second, 20.0);
    let server = report.server.as_ref().unwrap();
    assert_eq!(server.cpu_us_per_delivery, Some(10.0));
    assert_eq!(server.memory_per_connection_bytes, Some(1 << 20));
    assert_eq!(report.deliveries.latency_ms, Percentiles::default());
    let text = report.to_string();
    assert!(
        text.contains("50 received, 20 a second; 0 lost, 0 repeated, 0 out of order"),
        "{text}"
    );
    assert!(
        text.ends_with("ok: every message arrived once and in order\n"),
        "{text}"
    );
}

#[test]
fn every_kind_of_fault_fails_the_load() {
    let (plan, recorder) = (plan(Transport::SocketIo, 10, 1, 1), Recorder::new());
    let failed = |change: &dyn Fn(&mut Facts<'_>)| {
        let mut facts = facts(&plan, &recorder);
        change(&mut facts);
        let report = facts.report();
        assert!(!report.ok);
        report.to_string()
    };
    for text in [
        failed(&|facts| facts.lost.deliveries = 1),
        failed(&|facts| facts.totals.repeats = 1),
        failed(&|facts| facts.totals.disorder = 1),
    ] {
        assert!(
            text.contains("FAILED: messages were lost, repeated or out of order"),
            "{text}"
        );
    }
    let text = failed(&|facts| facts.totals.deliveries = 0);
    assert!(text.contains("FAILED: nothing was delivered"), "{text}");
    let text = failed(&|facts| facts.totals.joined = 9);
    assert!(
        text.contains("1 clients never joined") && text.contains("FAILED: not all"),
        "{text}"
    );
}

#[test]
fn what_was_on_its_way_when_the_user_ended_it_is_not_lost() {
    let (plan, recorder) = (plan(Transport::SocketIo, 10, 1, 1), Recorder::new());
    let report = Facts {
        lost: Lost {
            deliveries: 9,
            unconfirmed: 0,
        },
        stopped: true,
        drained: false,
        ..facts(&plan, &recorder)
    }
    .report();
    assert!(report.ok && report.to_string().contains("ended early"));
}

#[test]
fn percentiles_are_in_milliseconds() {
    let mut recorder = Recorder::new();
    (1..=1000).for_each(|time| recorder.delivered(time * 1000));
    let percentiles = Percentiles::of(&recorder.delivery);
    assert!((percentiles.p50.unwrap() - 500.0).abs() < 1.0);
    assert!((percentiles.p99.unwrap() - 990.0).abs() < 2.0);
    assert_eq!(percentiles.count, 1000);
}
