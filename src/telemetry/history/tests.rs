//! Samples, and what is computed between two of them.

use serde_json::{Value, json};

use super::*;

fn after(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn rates_are_the_increase_per_second_and_gauges_are_as_they_are() {
    let (mut history, start) = (History::default(), Instant::now());
    history.add(
        "switchboard_messages_total 10\nswitchboard_connections 3\n",
        start,
        1000,
    );
    assert_eq!(history.last().unwrap().value("messages_per_second"), None);
    assert_eq!(history.last().unwrap().value("connections"), Some(3.0));
    let text = "switchboard_messages_total 35\nswitchboard_connections 2\n";
    history.add(text, after(start, 5), 6000);
    assert_eq!(
        history.last().unwrap().value("messages_per_second"),
        Some(5.0)
    );
    assert_eq!(history.last().unwrap().value("connections"), Some(2.0));
    assert_eq!(
        history.last().unwrap().value("closed_per_second"),
        Some(0.0)
    );
    assert_eq!(history.last().unwrap().value("cpu"), None);
}

#[test]
fn quantiles_are_of_the_interval_alone() {
    let buckets = |counts: [u32; 3]| {
        let [low, high, all] = counts;
        format!(
            "switchboard_append_seconds_bucket{{le=\"0.001\"}} {low}\nswitchboard_append_seconds_bucket{{le=\"0.01\"}} {high}\n\
             switchboard_append_seconds_bucket{{le=\"+Inf\"}} {all}\n"
        )
    };
    let (mut history, start) = (History::default(), Instant::now());
    history.add(&buckets([1000, 1000, 1000]), start, 0);
    assert_eq!(history.last().unwrap().value("store_p50_ms"), None);
    history.add(&buckets([1000, 1010, 1010]), after(start, 5), 5000);
    // Ten between 1 and 10 ms: the middle one is in the middle of the bucket.
    assert_eq!(history.last().unwrap().value("store_p50_ms"), Some(5.5));
    history.add(&buckets([1000, 1010, 1010]), after(start, 10), 10_000);
    assert_eq!(history.last().unwrap().value("store_p50_ms"), None);
    // Above the last bound: that bound.
    history.add(&buckets([1000, 1010, 1011]), after(start, 15), 15_000);
    assert_eq!(history.last().unwrap().value("store_p99_ms"), Some(10.0));
}

#[test]
fn a_limit_has_a_series_once_it_was_reached() {
    let (mut history, start) = (History::default(), Instant::now());
    let text = |count| format!("switchboard_limited_total{{limit=\"memory\"}} {count}\n");
    for (count, at) in [(0, 0), (0, 5), (20, 10), (20, 15)] {
        history.add(&text(count), after(start, at), at * 1000);
    }
    let columns = serde_json::to_value(history.columns(0)).unwrap();
    assert_eq!(columns["ts"], json!([5000, 10_000, 15_000]));
    assert_eq!(columns["limited.memory"], json!([0, 4, 0]));
    assert_eq!(columns["limited_per_second"], json!([0, 4, 0]));
    let sample = serde_json::to_value(history.last().unwrap()).unwrap();
    assert_eq!(sample.get("limited.memory"), None);
    assert_eq!(history.last().unwrap().value("limited.memory"), Some(0.0));
}

#[test]
fn an_hour_is_kept_and_columns_begin_after_a_time() {
    let (mut history, start) = (History::default(), Instant::now());
    for nth in 0..1000 {
        history.add("switchboard_rooms 1\n", after(start, 5 * nth), 5000 * nth);
    }
    let times = |since| {
        let columns = serde_json::to_value(history.columns(since)).unwrap();
        let rooms = columns["rooms"].as_array().map(Vec::len);
        let times = columns["ts"].as_array().unwrap();
        assert_eq!(rooms, Some(times.len()));
        (times.len(), times.first().and_then(Value::as_u64))
    };
    assert_eq!(times(0), (720, Some(280 * 5000)));
    assert_eq!(times(990 * 5000), (9, Some(991 * 5000)));
    assert_eq!(times(u64::MAX), (0, None));
}

#[test]
fn a_sample_has_the_same_series_as_the_columns() {
    let mut history = History::default();
    history.add("", Instant::now(), 7);
    let names = |value: Value| {
        let names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        names
    };
    let sample = serde_json::to_value(history.last().unwrap()).unwrap();
    let columns = serde_json::to_value(history.columns(0)).unwrap();
    assert_eq!(names(sample), names(columns));
}
