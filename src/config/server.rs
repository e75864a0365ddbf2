//! The root of the configuration, and the sections that belong to no other module.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::section::{choice, section};
use crate::{
    auth::AuthSettings,
    backend::{HistorySettings, RedisSettings, SqliteSettings},
    hub::{LimitSettings, PresenceSettings, RecoverySettings, TypingSettings},
    transport::{EventsSettings, HttpSettings, PollSettings, SocketIoSettings, WebSocketSettings},
};

section! {
    /// Everything that can be set. The default is a server for the machine it runs on, with a log in `./data`.
    pub struct Config at "" {
        /// Address and port to serve.
        listen: SocketAddr = "127.0.0.1:3000",
        /// Folder of the embedded log.
        data: PathBuf = "./data",
        /// Where messages are kept: `sqlite`, in a file below `data`, `memory`, until the server stops, or `redis`, shared by
        /// several nodes. `sqlite` when not set, or `redis` if `redis.url` is.
        store: Option<Store> = "",
        /// Name of this node in `session`; made up when not set.
        node: Option<String> = "",
    }
    sections {
        /// Who may connect.
        auth: AuthSettings,
        /// The HTTP side of the server.
        http: HttpSettings,
        /// What is kept of each room.
        history: HistorySettings,
        /// The embedded log.
        sqlite: SqliteSettings,
        /// The log that nodes share.
        redis: RedisSettings,
        /// How much anybody may ask for.
        limits: LimitSettings,
        /// How clients that come back are given what they missed.
        recovery: RecoverySettings,
        /// How users are shown to others.
        presence: PresenceSettings,
        /// How typing is shown to others.
        typing: TypingSettings,
        /// The Socket.IO side of the server.
        socketio: SocketIoSettings,
        /// Plain WebSockets.
        websocket: WebSocketSettings,
        /// Server-Sent Events.
        events: EventsSettings,
        /// Long polling.
        poll: PollSettings,
        /// Stopping.
        drain: DrainSettings,
        /// What the server says about itself.
        log: LogSettings,
    }
}

/// Open files for all that is no connection: the log, other nodes, listeners, and clients that only ask something.
const SPARE_FILES: usize = 2048;

impl Config {
    /// Open files that a node needs which has as many connections, polls and idle sockets as it may; `None` if there is no limit.
    pub fn open_files(&self) -> Option<u64> {
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
            .fold(SPARE_FILES, |sum, most| sum.saturating_add(*most));
        u64::try_from(needed).ok()
    }

    /// Where messages are kept.
    pub fn store(&self) -> Store {
        let implied = match self.redis.url {
            Some(_) => Store::Redis,
            None => Store::Sqlite,
        };
        self.store.unwrap_or(implied)
    }
}

choice! {
    /// Where messages are kept.
    pub enum Store {
        /// In a SQLite file.
        Sqlite = "sqlite",
        /// In memory, until the server stops.
        Memory = "memory",
        /// In Redis or Valkey, where other nodes find them, too.
        Redis = "redis",
    }
}

section! {
    /// How the server stops.
    pub struct DrainSettings at "drain" {
        /// Connections are closed spread over this time, so that not all come back at once. When not set: `3s` if other nodes
        /// can take them, and `250ms` if they have to wait for this one.
        over: Option<Duration> = "",
        /// The server has stopped after this time, whatever is still open.
        deadline: Duration = "25s",
    }
}

section! {
    /// What the server writes about itself, on standard error.
    pub struct LogSettings at "log" {
        /// Lines for people (`text`) or for machines (`json`).
        format: LogFormat = "text",
        /// What is written: `error`, `warn`, `info`, `debug`, `trace`, or such for single modules, as in
        /// `info,switchboard::hub=debug`. Of the libraries beneath, which write what clients send with all its secrets, nothing
        /// finer than `info` is written unless they are named, as in `debug,hyper=debug`.
        filter: String = "info",
    }
}

impl LogSettings {
    /// What is written, as `tracing` reads it: a level alone is that of this server, and of what is beneath only down to `info`.
    pub fn directives(&self) -> String {
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

/// Clients that have to wait for this very node are closed within this time: stock ones come back after half a second at
/// the earliest, and it had better be back by then.
const MOMENT: Duration = Duration::from_millis(250);

impl DrainSettings {
    /// Whether it is over so soon that a client that comes meanwhile had better not be let in to be told so.
    pub fn is_brief(&self, others: bool) -> bool {
        self.over(others) <= MOMENT
    }

    /// The time over which connections are closed, if other nodes can take them or cannot.
    pub fn over(&self, others: bool) -> Duration {
        self.over.unwrap_or(match others {
            true => Duration::from_secs(3),
            false => MOMENT,
        })
    }
}

choice! {
    /// The shape of a line of the log.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// For machines: one JSON object a line.
        Json = "json",
    }
}
