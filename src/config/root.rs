//! The root of the configuration, and the sections that no other module owns.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{
    auth::AuthSettings,
    backend::{HistorySettings, RedisSettings, Retention, RetentionPolicy, SqliteSettings},
    documents::DocumentSettings,
    hooks::HooksSettings,
    http::{HttpSettings, RouteGroup, TlsSettings},
    hub::{LimitSettings, PresenceSettings, RecoverySettings, TypingSettings},
    options::{Problem, Tables, choice, section},
    policies::{self, RoomPolicies, RoomPolicy},
    traces::TraceSettings,
    transport::{EventsSettings, PollSettings, SocketIoSettings, WebSocketSettings},
};

section! {
    /// The whole configuration. The default serves this machine only, with a log in `./data`.
    ///
    /// ```
    /// use switchboard::config::{Config, Secret, Store};
    ///
    /// let mut config = Config::default();
    /// config.store = Some(Store::Memory);
    /// config.auth.hmac_secret = Some(Secret::new("an example, at least 32 bytes long"));
    /// config.check()?;
    /// # Ok::<(), switchboard::config::ConfigError>(())
    /// ```
    pub struct Config at "" {
        /// Address and port to serve.
        listen: SocketAddr = "127.0.0.1:3000",
        /// Folder of the embedded log.
        data: PathBuf = "./data",
        /// Where messages are stored: `sqlite`, in a file below `data`, `memory`, until the server stops, or `redis`, shared by
        /// several nodes. `redis` by default if `redis.url` is set, otherwise `sqlite`.
        store: Option<Store> = "",
        /// Serve WebTransport (HTTP/3) on the UDP port of the same number as `listen`, and offer it to Socket.IO's clients that poll. It needs TLS.
        webtransport: bool = "false",
        /// What may be done in the rooms that match a pattern, as tables `[[rooms]]`: see [room policies](rooms.md). In a variable: a JSON
        /// array of objects.
        rooms: Tables = "",
        /// Name of this node in `session`; random when not set.
        node: Option<String> = "",
    }
    sections {
        /// Who may connect.
        auth: AuthSettings,
        /// The HTTP side of the server.
        http: HttpSettings,
        /// TLS on `listen`.
        tls: TlsSettings,
        /// How much history of each room is kept.
        history: HistorySettings,
        /// The embedded log.
        sqlite: SqliteSettings,
        /// The shared log of a cluster.
        redis: RedisSettings,
        /// Limits for clients.
        limits: LimitSettings,
        /// How clients that reconnect recover missed messages.
        recovery: RecoverySettings,
        /// Presence.
        presence: PresenceSettings,
        /// Typing notifications.
        typing: TypingSettings,
        /// The Socket.IO side of the server.
        socketio: SocketIoSettings,
        /// Plain WebSockets.
        websocket: WebSocketSettings,
        /// Server-Sent Events.
        events: EventsSettings,
        /// Long polling.
        poll: PollSettings,
        /// Documents.
        documents: DocumentSettings,
        /// Hooks: back ends that answer for what happens.
        hooks: HooksSettings,
        /// Shutdown.
        drain: DrainSettings,
        /// Logging.
        log: LogSettings,
        /// Traces.
        traces: TraceSettings,
    }
}

/// Open files for everything but long-lived connections: the log, other nodes, listeners, short requests.
const RESERVED_FILES: usize = 2048;

impl Config {
    /// Open files that the node needs when every limit of connections, polls and idle sockets is reached; `None` if one of
    /// them is unlimited.
    pub(crate) fn open_files(&self) -> Option<u64> {
        let needed = [
            self.limits.connections,
            self.limits.idle_connections,
            self.poll.waiters,
        ];
        if needed.contains(&0) {
            return None;
        }
        let needed = needed
            .iter()
            .fold(RESERVED_FILES, |sum, most| sum.saturating_add(*most));
        u64::try_from(needed).ok()
    }

    /// The path of the dashboard, if it is open.
    pub(crate) fn dashboard(&self) -> Option<String> {
        let has = |group| self.http.routes.contains(&group);
        let is_open = self.auth.admin_key.is_some();
        (is_open && has(RouteGroup::Admin) && has(RouteGroup::Rest))
            .then(|| format!("{}/admin", self.http.prefix))
    }

    /// The policies of rooms.
    ///
    /// # Errors
    /// Every problem in them.
    pub(crate) fn policies(&self) -> Result<RoomPolicies, Vec<Problem>> {
        policies::read(&self.rooms)
    }

    /// What is kept of each room.
    pub(crate) fn retention(&self, policies: &RoomPolicies) -> Retention {
        let of_policy = |policy: &RoomPolicy| {
            let kept = policy.history.map(|history| RetentionPolicy {
                messages: history.messages,
                age: history.age,
            });
            (policy.pattern.clone(), kept)
        };
        Retention {
            policies: policies.iter().map(of_policy).collect(),
            ..self.history.retention()
        }
    }

    /// The store in effect.
    pub fn store(&self) -> Store {
        let implied = match self.redis.url {
            Some(_) => Store::Redis,
            None => Store::Sqlite,
        };
        self.store.unwrap_or(implied)
    }
}

choice! {
    /// Where messages are stored.
    pub enum Store {
        /// In a SQLite file.
        Sqlite = "sqlite",
        /// In memory, until the server stops.
        Memory = "memory",
        /// In Redis or Valkey, shared by all nodes.
        Redis = "redis",
    }
}

section! {
    /// How the server shuts down.
    pub struct DrainSettings at "drain" {
        /// Connections are closed over this period, so that clients do not all reconnect at once. When not set: `3s` if other
        /// nodes can take them, and `250ms` if they have to wait for this one.
        over: Option<Duration> = "",
        /// The server stops after this time at the latest, whatever is still open.
        deadline: Duration = "25s",
    }
}

section! {
    /// What the server logs, on standard error.
    pub struct LogSettings at "log" {
        /// Format of the lines: `text` for people, `json` for machines.
        format: LogFormat = "text",
        /// Log level: `error`, `warn`, `info`, `debug` or `trace`, optionally by module, as in `info,switchboard::hub=debug`.
        /// Libraries log what clients send, secrets included, so they log at `info` at most unless they are named, as in
        /// `debug,hyper=debug`.
        filter: String = "info",
    }
}

impl LogSettings {
    /// The filter as `tracing` reads it. A bare `debug` or `trace` applies to this crate only; libraries stay at `info`.
    pub(crate) fn directives(&self) -> String {
        let mut own = Vec::new();
        let mut all = Vec::new();
        for directive in self.filter.split(',') {
            match directive.trim().to_ascii_lowercase().as_str() {
                level @ ("debug" | "trace" | "4" | "5") => {
                    own.push(format!("switchboard={level}"));
                    all.push("info".to_owned());
                }
                _ => all.push(directive.to_owned()),
            }
        }
        own.append(&mut all);
        own.join(",")
    }
}

/// The default of `drain.over` if clients have to wait for this node. Stock clients reconnect after half a second at the
/// earliest, and the node should be back by then.
const SINGLE_NODE_DRAIN: Duration = Duration::from_millis(250);

/// The default of `drain.over` if other nodes can take the clients.
const CLUSTER_DRAIN: Duration = Duration::from_secs(3);

impl DrainSettings {
    /// Whether the drain is so short that new connections should be refused by the system rather than accepted and told to
    /// retry. `has_peers`: other nodes can take the clients.
    pub(crate) fn is_brief(&self, has_peers: bool) -> bool {
        self.period(has_peers) <= SINGLE_NODE_DRAIN
    }

    /// The period over which connections are closed. `has_peers`: other nodes can take the clients.
    pub(crate) fn period(&self, has_peers: bool) -> Duration {
        self.over.unwrap_or(match has_peers {
            true => CLUSTER_DRAIN,
            false => SINGLE_NODE_DRAIN,
        })
    }
}

choice! {
    /// The format of log lines.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// For machines: one JSON object per line.
        Json = "json",
    }
}
