//! Which web pages may connect, and which of their credentials count: one rule for CORS, polling and WebSocket upgrades.
//!
//! Browsers send `Origin` with almost every request that matters here, and a page cannot suppress it; other programs need not
//! send it. What a browser adds by itself (cookies, its position in a network) is an ambient credential that any page can use by
//! sending a request; what a page has to know itself (a token in its first packet or in the URL) is not. So only the server's own
//! pages and listed ones may use ambient credentials; without a list, a token of its own is enough for any page.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::{Extensions, HeaderMap, HeaderValue, header};

use super::{
    ClientAddress, client_address, forwarded,
    host::{HostPort, WebOrigin},
};
use crate::{error::Error, pattern::Pattern, sync::lock};

/// Which pages may connect to a server.
#[derive(Clone, Debug)]
pub struct Origins {
    patterns: Vec<Pattern>,
    unlisted: UnlistedOrigins,
    refused: Arc<Mutex<RefusedOrigins>>,
}

/// Rule for pages whose origin is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnlistedOrigins {
    /// The server's own pages may connect, and only by a name of this machine: a server that is open to everybody on this machine
    /// must not be reachable by a name that a foreign page has pointed at it (DNS rebinding). All pages served from this
    /// machine may connect, too, if no origin is listed.
    OfThisMachine,
    /// The server's own pages may connect. Pages served from this machine may connect, too, if the server listens on loopback
    /// only and no origin is listed.
    Own {
        /// Whether the server listens on loopback only.
        on_loopback: bool,
    },
    /// The server's own pages may connect, and, if no origin is listed, all others with a token of their own: such a page can do
    /// no more than any program with that token.
    WithToken,
}

/// How far a page is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A listed page, one of the server's own, or not a page at all.
    Full,
    /// Every page may connect; cookies are ignored, because the browser adds them.
    WithoutCookies,
    /// An unlisted page with a token of its own. It cannot set headers: those that are there were added by its browser or by a
    /// proxy, and are ignored.
    WithoutHeaders,
}

impl Origins {
    /// Allows the listed origins (`*` matches any run of characters), and others by the given rule.
    pub fn new(patterns: &[Pattern], unlisted: UnlistedOrigins) -> Self {
        // Browsers write origins in lower case.
        let lower = |pattern: &Pattern| {
            let text = pattern.as_str().to_ascii_lowercase();
            Pattern::parse(&text).unwrap_or_else(|_| pattern.clone())
        };
        Self {
            patterns: patterns.iter().map(lower).collect(),
            unlisted,
            refused: Arc::default(),
        }
    }

    /// Whether every origin may connect, which rules out credentials.
    pub fn allows_any(&self) -> bool {
        self.patterns.iter().any(Pattern::is_any)
    }

    /// How far the page that sent a request is trusted; `None` if it may not connect.
    pub fn trust(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<Trust> {
        match headers.get(header::ORIGIN) {
            None => (!self.is_from_foreign_page(headers)).then_some(Trust::Full),
            Some(origin) if self.is_trusted(origin, headers, extensions) => Some(Trust::Full),
            Some(_) if self.allows_any() => Some(Trust::WithoutCookies),
            Some(_) if self.unlisted == UnlistedOrigins::WithToken && self.patterns.is_empty() => {
                Some(Trust::WithoutHeaders)
            }
            Some(_) => None,
        }
    }

    /// Whether `origin` is listed, or is the server's own.
    pub fn is_trusted(
        &self,
        origin: &HeaderValue,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> bool {
        let Ok(text) = origin.to_str() else {
            return false;
        };
        if self.lists(text) {
            return true;
        }
        WebOrigin::parse(text).is_some_and(|origin| {
            let is_loopback = origin.host.is_loopback();
            let is_default = is_loopback && self.patterns.is_empty();
            match self.unlisted {
                UnlistedOrigins::OfThisMachine if !is_loopback => false,
                UnlistedOrigins::OfThisMachine if is_default => true,
                UnlistedOrigins::Own { on_loopback: true } if is_default => true,
                _ => is_own(&origin, headers, extensions),
            }
        })
    }

    /// Whether `origin` is listed other than by `*`. Browsers omit the default port; the list may contain it.
    fn lists(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let parsed = WebOrigin::parse(&origin).filter(WebOrigin::has_default_port);
        let with_port = parsed.map(|parsed| format!("{origin}:{}", parsed.port));
        let mut patterns = self.patterns.iter().filter(|pattern| !pattern.is_any());
        patterns.any(|pattern| {
            let matches = |text: &String| pattern.matches(text);
            matches(&origin) || with_port.as_ref().is_some_and(matches)
        })
    }

    /// Whether a request without `Origin` comes from a foreign page all the same: browsers omit it from a GET to the page's own
    /// host, whatever address that name resolves to, and for images and scripts, which a page may load from anywhere.
    fn is_from_foreign_page(&self, headers: &HeaderMap) -> bool {
        let foreign_host = || {
            headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok())
                .is_none_or(|host| !is_loopback_host(host) && !self.lists_host(host))
        };
        (is_embedded(headers) && !self.allows_any())
            || (self.unlisted == UnlistedOrigins::OfThisMachine && foreign_host())
    }

    /// Whether pages of `host` are listed: they may reach the server through a proxy there.
    fn lists_host(&self, host: &str) -> bool {
        let schemes = ["http", "https"];
        self.allows_any()
            || schemes
                .iter()
                .any(|scheme| self.lists(&format!("{scheme}://{host}")))
    }

    /// The error for a request of a page that may not connect. Each origin is logged once in a while.
    pub(crate) fn refuse(&self, headers: &HeaderMap) -> Error {
        let text = |value: Option<&HeaderValue>| {
            let text = value
                .and_then(|value| value.to_str().ok())
                .unwrap_or("none");
            text.chars().take(MAX_SHOWN_CHARS).collect::<String>()
        };
        let host = text(headers.get(header::HOST));
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Error::forbidden(match self.unlisted {
                UnlistedOrigins::OfThisMachine if !is_embedded(headers) => format!(
                    "a server without keys answers only to names of its own machine and to those that http.origins \
                     lists, and not to the Host {host}"
                ),
                _ => "a page of another site asked without saying which it is".to_owned(),
            });
        };
        let origin = text(Some(origin));
        if lock(&self.refused).is_new(&origin, Instant::now()) {
            tracing::info!(
                origin,
                host,
                "refused a page: its origin is not in http.origins"
            );
        }
        Error::forbidden(format!(
            "pages of {origin} may not connect to the Host {host}: add {origin} to http.origins; if they are this \
             server's own, have the proxy before it pass Host on, or name the proxy in http.trusted_proxies and have it \
             send X-Forwarded-Host"
        ))
    }
}

/// Whether the page is the server's own: its origin is where the request went.
///
/// Over TLS, and to this machine, browsers say so themselves (`Sec-Fetch-Site`, which no page can set): it is theirs to tell, also
/// where they say that it is not, as of a page that was loaded without TLS from the host that TLS leads to. Otherwise the origin is compared with the
/// requested hosts. Behind a trusted proxy these include the ones it reports, and a host without a port may have lost its port
/// there; from anybody else a missing port is the default port, because another port of that name may be somebody else's site.
/// A page that was loaded without TLS is not trusted like one with TLS: anybody on the network path may have changed it.
fn is_own(origin: &WebOrigin, headers: &HeaderMap, extensions: &Extensions) -> bool {
    if let Some(site) = fetch_site(headers) {
        return site == "same-origin";
    }
    let ClientAddress { proxied, tls, .. } = client_address(extensions);
    let is_requested = |requested: &HostPort| {
        requested.host == origin.host
            && match requested.port {
                Some(port) => port == origin.port,
                None => proxied || origin.has_default_port(),
            }
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.and_then(HostPort::parse);
    let is_secure = match proxied {
        true => forwarded::is_secure(headers) == Some(true),
        false => tls,
    };
    if is_secure && !origin.secure {
        return false;
    }
    if !proxied {
        return host.as_ref().is_some_and(is_requested);
    }
    let hosts = || forwarded::hosts(headers).into_iter().chain(host.clone());
    let port_matches = forwarded::port(headers) == Some(origin.port);
    hosts().any(|host| is_requested(&host) || (port_matches && host.host == origin.host))
}

/// Whether a request comes from one of the server's own pages, whatever other pages may connect: only these may use the session of
/// the dashboard. A browser that does not say where a request comes from sends `Origin` with all that could do harm.
pub fn is_own_page(headers: &HeaderMap, extensions: &Extensions) -> bool {
    if is_embedded(headers) {
        return false;
    }
    headers.get(header::ORIGIN).is_none_or(|origin| {
        let origin = origin.to_str().ok().and_then(WebOrigin::parse);
        origin.is_some_and(|origin| is_own(&origin, headers, extensions))
    })
}

/// Whether the browser says that a page of another site made the request.
fn is_embedded(headers: &HeaderMap) -> bool {
    fetch_site(headers).is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// How the browser relates the page's site to ours.
fn fetch_site(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get("sec-fetch-site")
}

/// Whether `host[:port]` is a loopback name or address.
fn is_loopback_host(host: &str) -> bool {
    HostPort::parse(host).is_some_and(|parsed| parsed.host.is_loopback())
}

/// Characters of an origin or a host that are repeated in an error or the log.
const MAX_SHOWN_CHARS: usize = 100;

/// Origins that are logged within [`LOG_INTERVAL`].
const MAX_LOGGED_ORIGINS: usize = 100;

/// How long an origin is not logged again.
const LOG_INTERVAL: Duration = Duration::from_secs(3600);

/// Origins whose refusal was logged recently.
#[derive(Debug, Default)]
struct RefusedOrigins {
    since: Option<Instant>,
    origins: HashSet<String>,
}

impl RefusedOrigins {
    fn is_new(&mut self, origin: &str, now: Instant) -> bool {
        if self
            .since
            .is_none_or(|since| now.duration_since(since) > LOG_INTERVAL)
        {
            self.since = Some(now);
            self.origins.clear();
        }
        self.origins.len() < MAX_LOGGED_ORIGINS && self.origins.insert(origin.to_owned())
    }
}

#[cfg(test)]
mod tests;
