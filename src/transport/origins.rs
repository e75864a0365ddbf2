//! Which web pages may connect, and which of their credentials count: one rule for CORS, polling and WebSocket upgrades.
//!
//! Browsers send `Origin` with almost every request that matters here; programs that are no browser need not, and a
//! page cannot leave it out. What a browser adds by itself (a cookie, its place in a network) is a credential that any page
//! makes use of by asking; what a page has to bring itself (a token in its first packet or in the address) is not. So a page
//! has to be the server's own or a listed one to use the former, and without a list the latter needs no more than itself.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::{Extensions, HeaderMap, HeaderValue, header};

use super::{
    http::{ClientAddress, forwarded},
    lock,
    web_address::{HostPort, WebOrigin},
};
use crate::{error::Error, pattern::Pattern};

/// Which pages may connect to a server.
#[derive(Clone, Debug)]
pub struct Origins {
    patterns: Vec<Pattern>,
    others: Others,
    refused: Arc<Mutex<Refused>>,
}

/// What is true of pages that are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// The server's own pages may connect, and only by a name of this machine: a server that anybody on this machine may
    /// use must not be reached by a name that a foreign page has pointed at this machine. So may all pages served from
    /// this machine if no other is listed.
    OfThisMachine,
    /// The server's own pages may connect. So may pages served from this machine if the server listens to it alone and no
    /// other is listed.
    Own {
        /// Whether it does.
        listens_to_this_machine: bool,
    },
    /// The server's own pages may connect, and if none is listed all others with a token of their own: they could as well
    /// not be pages.
    WithToken,
}

/// How far a page is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A listed page, one of the server's own, or no page at all.
    Full,
    /// Any page may connect. Its browser's cookies are not its own.
    WithoutCookies,
    /// Nothing vouches for it. Such a page cannot set headers: what is there, its browser or a proxy has added.
    WithoutHeaders,
}

impl Origins {
    /// The listed origins (`*` matches any run of characters), and what is true of others.
    pub fn new(patterns: &[Pattern], others: Others) -> Self {
        // Browsers write origins in lower case.
        let lower = |pattern: &Pattern| {
            let text = pattern.as_str().to_ascii_lowercase();
            Pattern::parse(&text).unwrap_or_else(|_| pattern.clone())
        };
        Self {
            patterns: patterns.iter().map(lower).collect(),
            others,
            refused: Arc::default(),
        }
    }

    /// Whether every origin may connect, which rules out credentials.
    pub fn anyone(&self) -> bool {
        self.patterns.iter().any(Pattern::is_any)
    }

    /// How far the page is trusted that a request comes from; `None` if it may not connect.
    pub fn trust(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<Trust> {
        match headers.get(header::ORIGIN) {
            None => (!self.is_of_another_page(headers)).then_some(Trust::Full),
            Some(origin) if self.vouch_for(origin, headers, extensions) => Some(Trust::Full),
            Some(_) if self.anyone() => Some(Trust::WithoutCookies),
            Some(_) if self.others == Others::WithToken && self.patterns.is_empty() => {
                Some(Trust::WithoutHeaders)
            }
            Some(_) => None,
        }
    }

    /// Whether `origin` is listed, or is the server's own.
    pub fn vouch_for(
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
            let of_this_machine = origin.host.is_loopback();
            let is_default = of_this_machine && self.patterns.is_empty();
            match self.others {
                Others::OfThisMachine if !of_this_machine => false,
                Others::OfThisMachine if is_default => true,
                Others::Own {
                    listens_to_this_machine: true,
                } if is_default => true,
                _ => is_own(&origin, headers, extensions),
            }
        })
    }

    /// Whether `origin` is listed other than by `*`. Browsers leave the default port out, people may have written it.
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

    /// Whether a request without an origin is a page's all the same: browsers leave it out of a GET to the page's own
    /// host, whatever address that name points at, and out of images and scripts, which a page may take from anywhere.
    fn is_of_another_page(&self, headers: &HeaderMap) -> bool {
        let elsewhere = || {
            headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok())
                .is_none_or(|host| !is_of_this_machine(host) && !self.lists_host(host))
        };
        (is_embedded(headers) && !self.anyone())
            || (self.others == Others::OfThisMachine && elsewhere())
    }

    /// Whether pages of `host` are listed: its own pages may reach the server through a proxy there.
    fn lists_host(&self, host: &str) -> bool {
        let schemes = ["http", "https"];
        self.anyone()
            || schemes
                .iter()
                .any(|scheme| self.lists(&format!("{scheme}://{host}")))
    }

    /// The refusal of a request that comes from a page which may not connect. Each origin is logged once in a while.
    pub(super) fn refuse(&self, headers: &HeaderMap) -> Error {
        let text = |value: Option<&HeaderValue>| {
            let text = value
                .and_then(|value| value.to_str().ok())
                .unwrap_or("none");
            text.chars().take(SHOWN).collect::<String>()
        };
        let host = text(headers.get(header::HOST));
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Error::forbidden(match self.others {
                Others::OfThisMachine if !is_embedded(headers) => format!(
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
                "a page was refused; http.origins lists those that may connect"
            );
        }
        Error::forbidden(format!(
            "pages of {origin} may not connect to the Host {host}: add {origin} to http.origins; if they are this \
             server's own, have the proxy before it pass Host on, or name the proxy in http.trusted_proxies and have it \
             send X-Forwarded-Host"
        ))
    }
}

/// Whether an origin is where the request went: what a page is to reach it needs no list for.
///
/// Browsers say so themselves (`Sec-Fetch-Site`, which no page can set), where they speak TLS. Else it is compared with the
/// hosts that were asked for. Behind a trusted proxy these are what it says, too, and a host without a port may have lost
/// it there; from anybody else it is the default port, because another port of that name may be somebody else's. A page
/// that came without TLS is not trusted as one that came with it: anybody on its way may have written it.
fn is_own(origin: &WebOrigin, headers: &HeaderMap, extensions: &Extensions) -> bool {
    if fetch_site(headers).is_some_and(|site| site == "same-origin") {
        return true;
    }
    let proxied = extensions
        .get::<ClientAddress>()
        .is_some_and(|address| address.proxied);
    let is_asked = |asked: &HostPort| {
        asked.host == origin.host
            && match asked.port {
                Some(port) => port == origin.port,
                None => proxied || origin.has_default_port(),
            }
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.and_then(HostPort::parse);
    if !proxied {
        return host.as_ref().is_some_and(is_asked);
    }
    if !origin.secure && forwarded::secure(headers) == Some(true) {
        return false;
    }
    let hosts = || forwarded::hosts(headers).into_iter().chain(host.clone());
    let port_is_said = forwarded::port(headers) == Some(origin.port);
    hosts().any(|asked| is_asked(&asked) || (port_is_said && asked.host == origin.host))
}

/// Whether the browser says that it asks for a page of another site.
fn is_embedded(headers: &HeaderMap) -> bool {
    fetch_site(headers).is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// What the browser says of the way from the page to here.
fn fetch_site(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get("sec-fetch-site")
}

/// Whether `host[:port]` names this machine and nothing else.
fn is_of_this_machine(host: &str) -> bool {
    HostPort::parse(host).is_some_and(|asked| asked.host.is_loopback())
}

/// Characters of an origin or a host that are repeated in an answer or the log.
const SHOWN: usize = 100;

/// Origins that are remembered as logged, and for how long.
const LOGGED: (usize, Duration) = (100, Duration::from_secs(3600));

/// The origins whose refusal was logged lately.
#[derive(Debug, Default)]
struct Refused {
    since: Option<Instant>,
    origins: HashSet<String>,
}

impl Refused {
    fn is_new(&mut self, origin: &str, now: Instant) -> bool {
        let (most, time) = LOGGED;
        if self
            .since
            .is_none_or(|since| now.duration_since(since) > time)
        {
            self.since = Some(now);
            self.origins.clear();
        }
        self.origins.len() < most && self.origins.insert(origin.to_owned())
    }
}

#[cfg(test)]
mod tests;
