//! Options of the transports, and of HTTP beneath them.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;

use crate::{
    auth::ApiKeys,
    model::{EVENT_SOURCE_OPEN, EventName, MAX_EVENT_BYTES, Namespace},
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
        /// Time within which a request's head has to arrive.
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
    }
}

section! {
    /// The Socket.IO side of the server.
    pub struct SocketIoSettings at "socketio" {
        /// Where clients connect, their `path`.
        path: String = "/socket.io",
        /// Where pages that ask for `/socket.io/socket.io.js` and the other bundles are sent: the URL of a folder that has them,
        /// such as `https://cdn.jsdelivr.net/npm/socket.io-client@4/dist`. None: they get a script that logs that no client is served here.
        client: Option<String> = "",
        /// Namespaces that exist; rooms of different namespaces are different rooms.
        namespaces: Vec<Namespace> = "/",
        /// Events that are relayed unchanged to the other sockets in the sender's rooms.
        relay: Vec<String> = "",
        /// Transports that clients may use.
        transports: Vec<Transport> = "polling, websocket",
        /// How often a connection is pinged.
        ping_interval: Duration = "25s",
        /// How long the pong may take.
        ping_timeout: Duration = "20s",
        /// How long an upgrade to WebSocket may take.
        upgrade_timeout: Duration = "10s",
        /// How long a session may take to join a namespace.
        connect_timeout: Duration = "10s",
        /// How long an application's event handler may run. After that its client gets an error, and the connection goes on.
        handler_timeout: Duration = "30s",
        /// Largest payload that a client may send at once.
        max_payload: ByteSize = "1 MiB",
        /// Most packets relayed to one connection, or emitted by an application, that are queued for encoding.
        buffer: usize = "16384",
        /// Size of each connection's read buffer.
        read_buffer: ByteSize = "4 KiB",
    }
}

section! {
    /// Plain WebSockets.
    pub struct WebSocketSettings at "websocket" {
        /// How often a silent connection is pinged.
        ping_interval: Duration = "25s",
        /// How long the pong may take.
        ping_timeout: Duration = "20s",
        /// Largest message that a client may send.
        max_payload: ByteSize = "1 MiB",
    }
}

section! {
    /// Server-Sent Events.
    pub struct EventsSettings at "events" {
        /// How often an idle stream is kept open by a comment.
        heartbeat: Duration = "15s",
        /// Reconnect delay of clients whose stream ended, varied by half in both directions.
        retry: Duration = "2s",
    }
}

section! {
    /// Long polling.
    pub struct PollSettings at "poll" {
        /// Most polls that may wait on this node at once. Half of them are available to everybody, the rest to users with less than a
        /// sixteenth of them. 0: unlimited.
        waiters: usize = "10000",
    }
}

impl WebSocketSettings {
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        check_above_zero(&["websocket.ping_interval"], &self.ping_interval, problems);
        check_above_zero(&["websocket.ping_timeout"], &self.ping_timeout, problems);
    }
}

impl EventsSettings {
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        check_above_zero(&["events.heartbeat"], &self.heartbeat, problems);
    }
}

choice! {
    /// How Socket.IO travels.
    pub enum Transport {
        /// HTTP requests.
        Polling = "polling",
        /// A WebSocket.
        WebSocket = "websocket",
    }
}

/// Events that the server handles itself, and so cannot relay.
const RESERVED_EVENTS: [&str; 14] = [
    "join",
    "leave",
    "message",
    "publish",
    "typing",
    "typing_start",
    "typing_stop",
    "presence",
    "status",
    "history",
    "read",
    "signal",
    "refresh",
    "disconnect",
];

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
        check_above_zero(&["http.header_timeout"], &self.header_timeout, problems);
        check_above_zero(&["http.body_timeout"], &self.body_timeout, problems);
        check_above_zero(&["http.body_bytes"], &self.body_bytes.bytes(), problems);
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

impl SocketIoSettings {
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        check_above_zero(&["socketio.ping_interval"], &self.ping_interval, problems);
        check_above_zero(&["socketio.ping_timeout"], &self.ping_timeout, problems);
        check_above_zero(
            &["socketio.upgrade_timeout"],
            &self.upgrade_timeout,
            problems,
        );
        check_above_zero(
            &["socketio.connect_timeout"],
            &self.connect_timeout,
            problems,
        );
        check_above_zero(
            &["socketio.handler_timeout"],
            &self.handler_timeout,
            problems,
        );
        check_above_zero(&["socketio.buffer"], &self.buffer, problems);
        check_above_zero(
            &["socketio.read_buffer"],
            &self.read_buffer.bytes(),
            problems,
        );
        self.check_path(problems);
        if let Some(client) = self.client.as_deref().filter(|client| !is_url(client)) {
            problems.push(Problem::rule(
                &["socketio.client"],
                format!(
                    "{client:?} is no URL of a folder: expected http://, https:// or / at its start"
                ),
            ));
        }
        self.check_lists(problems);
        for name in &self.relay {
            if let Some(wrong) = relay_problem(name) {
                problems.push(Problem::rule(
                    &["socketio.relay"],
                    format!("{name:?} cannot be passed on: {wrong}"),
                ));
            }
        }
    }

    fn check_path(&self, problems: &mut Vec<Problem>) {
        let name = self.path.strip_prefix('/').unwrap_or_default();
        if name.trim_end_matches('/').is_empty() || self.path.contains(['?', '#', '{', '}', ' ']) {
            problems.push(Problem::rule(
                &["socketio.path"],
                format!(
                    "{:?} is no path: expected one such as /socket.io",
                    self.path
                ),
            ));
        }
    }

    fn check_lists(&self, problems: &mut Vec<Problem>) {
        if self.namespaces.is_empty() {
            problems.push(Problem::rule(
                &["socketio.namespaces"],
                "is empty; expected one at least, such as /",
            ));
        }
        if self.transports.is_empty() {
            problems.push(Problem::rule(
                &["socketio.transports"],
                "is empty; expected polling, websocket or both",
            ));
        }
    }
}

fn is_url(text: &str) -> bool {
    let start = ["http://", "https://", "/"];
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    visible && start.iter().any(|start| text.starts_with(start))
}

fn relay_problem(name: &str) -> Option<String> {
    if RESERVED_EVENTS.contains(&name) {
        return Some("the server handles this event itself".to_owned());
    }
    if name.trim().is_empty() || name.len() > MAX_EVENT_BYTES {
        return Some(format!("an event name has 1 to {MAX_EVENT_BYTES} bytes"));
    }
    if name == EVENT_SOURCE_OPEN {
        return None; // relayed events come to no EventSource
    }
    // Applications that only broadcast use names with blanks, such as `chat message`; otherwise the rules for published events
    // apply.
    EventName::parse(&name.replace(' ', "_"))
        .err()
        .map(|error| error.message().to_owned())
}
