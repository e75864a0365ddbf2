//! Which web pages may connect: one list for CORS, for polling and for WebSocket upgrades.
//!
//! Browsers send `Origin` with almost every request that matters here; programs that are no browser need not, and a
//! page cannot leave it out. So a request without one passes unless something else shows that a page sent it, and one
//! from elsewhere is refused.

use http::{HeaderMap, HeaderValue, header};

use crate::pattern::Pattern;

/// The pages that may connect.
#[derive(Clone, Debug)]
pub struct Origins {
    patterns: Vec<Pattern>,
    /// Only a request to a loopback name may count as the page's own host: a server that anybody on this machine may
    /// use must not be reached by a name that a foreign page has pointed at this machine.
    loopback_only: bool,
}

impl Origins {
    /// The listed origins (`*` matches any run of characters) and the page's own host. `loopback_only` is for a
    /// server in open mode.
    pub fn new(patterns: Vec<Pattern>, loopback_only: bool) -> Self {
        Self {
            patterns,
            loopback_only,
        }
    }

    /// Whether every origin may connect, which rules out credentials.
    pub fn anyone(&self) -> bool {
        self.patterns.iter().any(Pattern::is_any)
    }

    /// Whether a request with these headers may come in.
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        match headers.get(header::ORIGIN) {
            Some(origin) => self.allow_origin(origin, headers),
            None => !self.is_of_another_page(headers),
        }
    }

    /// Whether a request without an origin is a page's all the same: browsers leave it out of a GET to the page's own
    /// host, whatever address that name points at, and out of images and scripts, which a page may take from anywhere.
    fn is_of_another_page(&self, headers: &HeaderMap) -> bool {
        let embedded = headers
            .get("sec-fetch-site")
            .is_some_and(|site| site == "cross-site" || site == "same-site");
        let elsewhere = || {
            headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok())
                .is_none_or(|host| !is_loopback(host) && !self.lists_host(host))
        };
        (embedded && !self.anyone()) || (self.loopback_only && elsewhere())
    }

    /// Whether pages of `host` are listed: its own pages may reach the server through a proxy there.
    fn lists_host(&self, host: &str) -> bool {
        ["http", "https"].iter().any(|scheme| {
            let origin = format!("{scheme}://{host}");
            self.patterns.iter().any(|pattern| pattern.matches(&origin))
        })
    }

    /// Whether `origin` is listed, or is the page's own host.
    pub fn allow_origin(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        self.patterns.iter().any(|pattern| pattern.matches(origin))
            || self.own_host(origin, headers)
    }

    fn own_host(&self, origin: &str, headers: &HeaderMap) -> bool {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let page = origin.split_once("://").map(|(_, rest)| rest);
        match (host, page) {
            (Some(host), Some(page)) => {
                host.eq_ignore_ascii_case(page) && (!self.loopback_only || is_loopback(host))
            }
            _ => false,
        }
    }
}

/// Whether `host[:port]` names this machine and nothing else.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    fn origins(list: &[&str], loopback_only: bool) -> Origins {
        Origins::new(
            list.iter()
                .map(|text| Pattern::parse(text).unwrap())
                .collect(),
            loopback_only,
        )
    }

    #[test]
    fn a_listed_page_the_own_host_and_programs_may_connect_and_others_not() {
        let origins = origins(&["http://localhost:*"], false);
        for (host, origin, expected) in [
            ("127.0.0.1:3000", Some("http://localhost:5173"), true),
            ("127.0.0.1:3000", Some("https://evil.example"), false),
            (
                "127.0.0.1:3000",
                Some("http://localhost.evil.example:80"),
                false,
            ),
            ("chat.example", Some("https://chat.example"), true),
            ("chat.example", Some("null"), false),
            ("chat.example", None, true),
        ] {
            assert_eq!(
                origins.allow(&headers(host, origin)),
                expected,
                "{host} {origin:?}"
            );
        }
    }

    #[test]
    fn a_foreign_name_pointed_at_an_open_server_is_not_its_own_host() {
        let origins = origins(&[], true);
        assert!(!origins.allow(&headers(
            "rebound.example:3000",
            Some("http://rebound.example:3000")
        )));
        assert!(!origins.allow(&headers("rebound.example:3000", None)));
        assert!(origins.allow(&headers("127.0.0.1:3000", None)));
        assert!(origins.allow(&headers("127.0.0.1:3000", Some("http://127.0.0.1:3000"))));
        assert!(origins.allow(&headers("[::1]:3000", Some("http://[::1]:3000"))));
    }

    #[test]
    fn a_page_that_is_listed_reaches_an_open_server_through_the_proxy_of_its_own_host() {
        let origins = origins(&["http://box.lan:5173"], true);
        assert!(origins.allow(&headers("box.lan:5173", None)));
        assert!(!origins.allow(&headers("other.lan:5173", None)));
    }

    #[test]
    fn what_a_page_embeds_from_elsewhere_is_refused_though_it_names_no_origin() {
        let origins = origins(&[], false);
        for (site, expected) in [
            ("cross-site", false),
            ("same-site", false),
            ("same-origin", true),
            ("none", true),
        ] {
            let mut headers = headers("chat.example", None);
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            assert_eq!(origins.allow(&headers), expected, "{site}");
        }
    }
}
