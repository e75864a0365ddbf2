//! Options of traces.

use crate::options::{Fraction, Problem, SecretUrl, section};

section! {
    /// Traces for OpenTelemetry.
    pub struct TraceSettings at "traces" {
        /// The URL of an OpenTelemetry collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is appended
        /// if it has no path. Traces are off while neither this nor `OTEL_EXPORTER_OTLP_ENDPOINT` is set.
        endpoint: Option<SecretUrl> = "",
        /// How many of the traces that begin here are exported, from `0`, none, to `1`, all. A `traceparent` decides for itself.
        sample: Fraction = "1",
    }
}

impl TraceSettings {
    /// The URL that traces are sent to, if one is set.
    pub(crate) fn url(&self) -> Option<String> {
        let url = self.endpoint.as_ref()?.expose();
        let has_path = url
            .split_once("://")
            .is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'));
        Some(match has_path {
            true => url.to_owned(),
            false => format!("{}/v1/traces", url.trim_end_matches('/')),
        })
    }

    /// Checks that the options can be used.
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        let Some(url) = self.url() else {
            return;
        };
        let is_url = url.parse().is_ok_and(|url: http::Uri| {
            matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()
        });
        if !is_url {
            problems.push(Problem::rule(
                &["traces.endpoint"],
                "traces.endpoint has to be a URL such as http://127.0.0.1:4318",
            ));
        }
        if !cfg!(feature = "opentelemetry") {
            problems.push(Problem::rule(
                &["traces.endpoint"],
                "this program was built without traces: build it with the Cargo feature opentelemetry",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: &str) -> Option<String> {
        let settings = TraceSettings {
            endpoint: Some(SecretUrl::new(endpoint)),
            ..TraceSettings::default()
        };
        settings.url()
    }

    #[test]
    fn an_endpoint_without_a_path_gets_that_of_otlp() {
        let expected = Some("http://collector:4318/v1/traces".to_owned());
        assert_eq!(url("http://collector:4318"), expected);
        assert_eq!(url("http://collector:4318/"), expected);
        assert_eq!(
            url("https://collector/otlp/traces"),
            Some("https://collector/otlp/traces".to_owned())
        );
    }

    #[cfg(feature = "opentelemetry")]
    #[test]
    fn an_endpoint_that_is_no_url_is_a_problem() {
        for (endpoint, good) in [
            ("http://127.0.0.1:4318", true),
            ("https://collector.example/v1/traces", true),
            ("127.0.0.1:4318", false),
            ("grpc://127.0.0.1:4317", false),
            ("http://", false),
            ("", false),
        ] {
            let settings = TraceSettings {
                endpoint: Some(SecretUrl::new(endpoint)),
                ..TraceSettings::default()
            };
            let mut problems = Vec::new();
            settings.check(&mut problems);
            assert_eq!(problems.is_empty(), good, "{endpoint}");
        }
    }
}
