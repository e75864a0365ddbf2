//! Options of the transports.

use std::{path::Path, time::Duration};

use crate::{
    events::{CONTRACT_EVENTS, ContractScope, EventOwners, RelayRule},
    model::Namespace,
    options::{ByteSize, Problem, check_above_zero, choice, section},
    pattern::Pattern,
    transport::wire::{SHARED_NAMESPACE, document_of},
};

section! {
    /// The Socket.IO side of the server.
    pub struct SocketIoSettings at "socketio" {
        /// Where clients connect, their `path`.
        path: String = "/socket.io",
        /// The folder that has the client's bundles, which are served as `/socket.io/socket.io.js` and so on; or the URL of one, such as
        /// `https://cdn.jsdelivr.net/npm/socket.io-client@4/dist`, to which pages are redirected. None: `node_modules/socket.io-client/dist`,
        /// where npm puts them.
        client: Option<String> = "",
        /// Namespaces that exist; rooms of different namespaces are different rooms.
        namespaces: Vec<Namespace> = "/",
        /// Where the contract's own events (`join`, `message`, ...) exist: `true`, `false`, or a list of namespaces.
        contract: ContractScope = "true",
        /// Events that are relayed unchanged to the other sockets in the sender's rooms: names, or patterns with `*`, which leave the server's
        /// own events alone. `name=all` sends them to the sender, too, `name=ack` answers an ack without arguments; `/game name` is for one
        /// namespace, and comes before a rule for all.
        relay: Vec<RelayRule> = "",
        /// Events of your own that clients may send again, with socket.io-client's option `retries`: names, or patterns with `*`. The same event
        /// with the same arguments of the same user is answered with its first answer for `history.idempotency`, and neither a hook nor a
        /// handler is called again. Give each event an id among its arguments.
        idempotent: Vec<Pattern> = "",
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
        /// Most packets emitted by an application through socketioxide that are queued for encoding, for each connection.
        buffer: usize = "16384",
        /// Bytes of a WebSocket that are read at a time, into a buffer that all connections of a thread share.
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

impl SocketIoSettings {
    /// Who owns the events that clients send, as far as the configuration says.
    pub(crate) fn event_owners(&self) -> EventOwners {
        EventOwners::new(&self.namespaces, &self.contract, &self.relay)
    }

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
        if let Some(client) = self.client.as_deref().filter(|client| !has_client(client)) {
            problems.push(Problem::rule(
                &["socketio.client"],
                format!(
                    "{client:?} is neither a folder here nor a URL of one, which begins with http:// or https://"
                ),
            ));
        }
        self.check_lists(problems);
        let idempotent = |event: &&&str| self.idempotent.iter().any(|it| it.as_str() == **event);
        if let Some(event) = CONTRACT_EVENTS.iter().find(idempotent) {
            let problem = format!("{event:?} is the server's own: it may be sent again anyway");
            problems.push(Problem::rule(&["socketio.idempotent"], problem));
        }
        let events = EventOwners::problems(&self.namespaces, &self.contract, &self.relay);
        problems.extend(
            events
                .into_iter()
                .map(|(option, problem)| Problem::rule(&[option], problem)),
        );
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
        let mut namespaces = self.namespaces.iter();
        if let Some(of_document) = namespaces.find(|name| document_of(name.as_str()).is_some()) {
            problems.push(Problem::rule(
                &["socketio.namespaces"],
                format!("has {of_document}; namespaces that begin with {SHARED_NAMESPACE} are those of documents, and exist already"),
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

/// Whether `socketio.client` may have the client's bundles.
fn has_client(client: &str) -> bool {
    match is_url(client) {
        true => client.bytes().all(|byte| byte.is_ascii_graphic()),
        false => Path::new(client).is_dir(),
    }
}

/// Whether `socketio.client` is a URL, and not a folder of this machine.
pub(super) fn is_url(client: &str) -> bool {
    client.starts_with("http://") || client.starts_with("https://")
}
