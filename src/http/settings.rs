//! Options of HTTP, the same for all transports and the REST API.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;

use crate::{
    auth::ApiKeys,
    options::{ByteSize, Problem, Secret, check_above_zero, choice, section},
    pattern::Pattern,
};

section! {
    /// The HTTP side of the server.
    pub struct HttpSettings at "http" {
        /// Web pages that may connect, besides the server's own: origins such as `https://app.example`, `capacitor://localhost`
        /// or `null`; `*` matches any run of characters, and alone it lets every page in, without cookies. None: pages of
        /// this machine as long as the server is open to that alone; with keys, every page by WebSocket, with a token of its own.
        origins: Vec<Pattern> = "",
        /// Proxies whose `X-Forwarded-*`, or else `Forwarded`, are believed: addresses and networks.
        trusted_proxies: Vec<IpNet> = "",
        /// Every connection from `http.trusted_proxies` begins with a header of the PROXY protocol, version 1 or 2, and is its client's:
        /// for proxies that pass TCP on. Other connections come without.
        proxy_protocol: bool = "false",
        /// Time within which a request's head has to arrive, and a header of the PROXY protocol or a TLS handshake before it.
        header_timeout: Duration = "10s",
        /// Time within which a request's body has to arrive.
        body_timeout: Duration = "15s",
        /// Largest body of an API request.
        body_bytes: ByteSize = "1 MiB",
        /// The key that `/metrics` requires, as `Authorization: Bearer`: at least 20 characters, or `sha256:` and the 64 hexadecimal
        /// digits of its SHA-256. None: `/metrics` is public.
        metrics_key: Option<Secret> = "",
        /// A second address, for operators alone: `/metrics`, which `listen` then has no more, `/healthz` and `/readyz`. It has to be
        /// one that clients cannot reach, such as `127.0.0.1:9090`.
        internal_listen: Option<SocketAddr> = "",
        /// Path in front of the server's own routes, such as `/realtime` for `/realtime/v1/rooms` and `/realtime/ws/lobby`. Socket.IO has a path
        /// of its own, `socketio.path`.
        prefix: String = "",
        /// Which of its own routes the server has: `rest` (`/v1`), `health` (`/healthz`, `/readyz`), `metrics`, `websocket` (`/ws`), `documents` (`/yjs`, `/collab`, and Socket.IO's namespaces of documents), `events`,
        /// `poll`, `page`, which is `/`, and `admin`, the dashboard, which needs `rest`. `http.internal_listen` has its routes in any case, and Socket.IO is always served.
        routes: Vec<RouteGroup> = "rest, health, metrics, websocket, documents, events, poll, page, admin",
    }
}

choice! {
    /// A group of the server's own routes.
    pub enum RouteGroup {
        /// The REST API: `/v1`.
        Rest = "rest",
        /// `/healthz` and `/readyz`.
        Health = "health",
        /// `/metrics`.
        Metrics = "metrics",
        /// Plain WebSockets: `/ws`.
        WebSocket = "websocket",
        /// Documents of Yjs clients: `/yjs`, `/collab`, and Socket.IO's namespaces `/yjs|{document}`.
        Documents = "documents",
        /// Server-Sent Events: `/events`.
        Events = "events",
        /// Long polling: `/poll`.
        Poll = "poll",
        /// The page to try the server: `/`, unless the application answers there.
        Page = "page",
        /// The dashboard, `/admin`, and the namespace of Socket.IO's Admin UI; closed without `auth.admin_key`.
        Admin = "admin",
    }
}

impl HttpSettings {
    /// The key that `/metrics` requires.
    ///
    /// # Errors
    /// The key is malformed; the message says how.
    pub(crate) fn metrics_key(&self) -> Result<ApiKeys, String> {
        ApiKeys::parse(self.metrics_key.iter().map(Secret::expose))
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        if let Err(what) = self.metrics_key() {
            problems.push(Problem::rule(&["http.metrics_key"], what));
        }
        if self.proxy_protocol && self.trusted_proxies.is_empty() {
            problems.push(Problem::rule(
                &["http.proxy_protocol", "http.trusted_proxies"],
                "http.proxy_protocol is for connections of http.trusted_proxies, which is empty: name the addresses of your proxies",
            ));
        }
        check_above_zero(&["http.header_timeout"], &self.header_timeout, problems);
        check_above_zero(&["http.body_timeout"], &self.body_timeout, problems);
        check_above_zero(&["http.body_bytes"], &self.body_bytes.bytes(), problems);
        if !self.prefix.is_empty() && !is_prefix(&self.prefix) {
            problems.push(Problem::rule(
                &["http.prefix"],
                format!(
                    "{:?} is no prefix of paths: expected one such as /realtime, without a slash at its end",
                    self.prefix
                ),
            ));
        }
        for origin in self
            .origins
            .iter()
            .map(Pattern::as_str)
            .filter(|origin| !is_origin(origin))
        {
            problems.push(Problem::rule(
                &["http.origins"],
                format!(
                    "{origin:?} fits no origin: expected scheme://host, with :port if it is not the usual one and \
                     nothing after it, null, or * for every page"
                ),
            ));
        }
    }
}

/// Whether a text is a path of plain segments: letters, digits, and what else needs no escape.
fn is_prefix(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.strip_prefix('/').is_some_and(|path| {
        let mut segments = path.split('/');
        segments.all(|segment| {
            !segment.is_empty() && ![".", ".."].contains(&segment) && segment.bytes().all(plain)
        })
    })
}

/// Whether a pattern can match an origin. Browsers send a scheme, a host and perhaps a port, never a path; pages from files and
/// apps may have no host.
fn is_origin(pattern: &str) -> bool {
    if pattern.contains(|c: char| c == ',' || c.is_whitespace()) {
        return false;
    }
    let open = pattern.starts_with('*') || pattern == "null";
    match pattern.split_once("://") {
        Some(("http" | "https", "")) => false,
        Some((scheme, host)) => !scheme.is_empty() && !host.contains('/'),
        None => open,
    }
}
