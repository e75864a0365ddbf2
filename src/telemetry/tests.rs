//! The exposition of metrics.

use super::*;

#[test]
fn counted_values_are_exported() {
    let metrics = Metrics::new();
    metrics.messages.inc_by(3);
    metrics.dropped(NEWER, 2);
    metrics.error(&Error::new(Code::TooLarge, "").for_limit(Limit::MessageBytes));
    metrics.collect_cluster(|| ClusterStats {
        nodes: 3,
        dropped: vec![("full", 7), ("lost", 0)],
    });
    metrics.collect_readiness(|| vec![("write", false), ("read", true)]);
    let page = metrics.render();
    for line in [
        "switchboard_ready{check=\"write\"} 0",
        "switchboard_ready{check=\"read\"} 1",
        "switchboard_nodes 3",
        "switchboard_words_dropped_total{reason=\"full\"} 7",
        "switchboard_words_dropped_total{reason=\"lost\"} 0",
        "switchboard_messages_total 3",
        "switchboard_dropped_total{reason=\"newer\"} 2",
        "switchboard_dropped_total{reason=\"behind\"} 0",
        "switchboard_limited_total{limit=\"message_bytes\"} 1",
        "switchboard_errors_total{code=\"too_large\"} 1",
        "switchboard_errors_total{code=\"internal\"} 0",
    ] {
        assert!(page.contains(line), "{line} missing in\n{page}");
    }
}
