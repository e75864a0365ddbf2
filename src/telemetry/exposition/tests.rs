//! Parsing what is rendered.

use super::*;

#[test]
fn values_are_read_by_name_and_label() {
    let text = "# TYPE a gauge\na 3\nb_total{reason=\"x y\"} 2\nb_total{reason=\"z\"} 5\nc{route=\"/v1/{room}\",status=\"2xx\"} 1\n# EOF\n";
    let exposition = Exposition::parse(text);
    assert_eq!(exposition.sum("a"), Some(3.0));
    assert_eq!(exposition.sum("b_total"), Some(7.0));
    assert_eq!(exposition.sum("c"), Some(1.0));
    assert_eq!(exposition.sum("unknown"), None);
    let by_label: Vec<_> = exposition.by_label("b_total").collect();
    assert_eq!(by_label, [("x y", 2.0), ("z", 5.0)]);
}

#[test]
fn buckets_are_read_in_ascending_order() {
    let text = "h_bucket{le=\"0.5\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_bucket{le=\"0.05\"} 1\n";
    let buckets = Exposition::parse(text).buckets("h_bucket");
    assert_eq!(buckets, [(0.05, 1.0), (0.5, 3.0), (f64::INFINITY, 4.0)]);
}
