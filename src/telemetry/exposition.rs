//! Reads the text that `/metrics` serves, so that whatever is drawn of a node is what Prometheus would have stored of it.

use std::collections::HashMap;

/// The values of one exposition, by metric name.
#[derive(Clone, Debug, Default)]
pub(super) struct Exposition(HashMap<String, Vec<(String, f64)>>);

impl Exposition {
    /// Parses what [`Metrics::render`](super::Metrics::render) returns: `name{labels} value` a line, and comments.
    pub(super) fn parse(text: &str) -> Self {
        let mut metrics: HashMap<String, Vec<(String, f64)>> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse() else {
                continue;
            };
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            let labels = labels.trim_end_matches('}').to_owned();
            let values = metrics.entry(name.to_owned()).or_default();
            values.push((labels, value));
        }
        Self(metrics)
    }

    /// The sum of a metric over all its labels; `None` if it is not exported.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        let values = self.0.get(name)?;
        Some(values.iter().map(|(_, value)| value).sum())
    }

    /// The values of a metric by its only label.
    pub(super) fn by_label(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        let values = self.0.get(name).map_or(&[][..], Vec::as_slice);
        values.iter().filter_map(|(labels, value)| {
            let (_, label) = labels.split_once("=\"")?;
            Some((label.strip_suffix('"')?, *value))
        })
    }

    /// The buckets of a histogram: upper bounds and cumulative counts, in ascending order.
    pub(super) fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let buckets = self.by_label(name);
        let mut buckets: Vec<_> = buckets
            .filter_map(|(bound, count)| {
                let bound = match bound {
                    "+Inf" => f64::INFINITY,
                    bound => bound.parse().ok()?,
                };
                Some((bound, count))
            })
            .collect();
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        buckets
    }
}

#[cfg(test)]
mod tests;
