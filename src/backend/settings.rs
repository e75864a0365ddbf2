//! Options of the log: retention, SQLite, Redis.

use std::{path::PathBuf, time::Duration};

use super::{Retention, RetentionPolicy};
use crate::{
    options::{
        ByteSize, OptionValue, Problem, SecretUrl, Value, check_above_zero, choice,
        format_duration, parse_duration, section,
    },
    pattern::Pattern,
};

section! {
    /// Retention of rooms, and reading them.
    pub struct HistorySettings at "history" {
        /// Messages kept in a room; 0 keeps none.
        messages: u64 = "10000",
        /// How long a message is kept.
        age: Duration = "7d",
        /// Retention of rooms that match a pattern, the first that matches: `pattern=messages,age`, separated by `;` or white space.
        rooms: RetentionRules = "",
        /// Maximum messages in one page.
        page: usize = "1000",
        /// Maximum bytes of messages in one page.
        page_bytes: ByteSize = "1 MiB",
        /// Memory for the newest messages of active rooms, so that recovery seldom reads the disk.
        hot_bytes: ByteSize = "64 MiB",
        /// How long a message that is sent again with the same `id` is recognized.
        idempotency: Duration = "1h",
    }
}

section! {
    /// How the embedded log is written and read.
    pub struct SqliteSettings at "sqlite" {
        /// When a message is on disk: `full`: before it is acknowledged; `normal`: some time later; `off`: when the operating system
        /// writes it.
        synchronous: Synchronous = "full",
        /// Connections for reading.
        readers: usize = "2",
    }
}

section! {
    /// The log that nodes share, in Redis or Valkey.
    pub struct RedisSettings at "redis" {
        /// URL of Redis: `redis://[user:password@]host[:port]`, or `rediss://` for TLS; several of the nodes of a Redis Cluster, separated by
        /// commas. Servers with the same URL are nodes of one cluster.
        url: Option<SecretUrl> = "",
        /// Prefix of all keys and channels. Deployments that share a Redis need different ones.
        prefix: String = "switchboard",
        /// Authorities that Redis may have its certificate from, with `rediss://`: a PEM file. When not set, those that this machine trusts.
        tls_ca: Option<PathBuf> = "",
        /// This node's certificate, for a Redis that asks for one: a PEM file.
        tls_cert: Option<PathBuf> = "",
        /// The private key of `redis.tls_cert`: a PEM file.
        tls_key: Option<PathBuf> = "",
        /// Systems whose emitters reach the clients of this cluster over the same Redis: `socket.io`, the emitters and servers of
        /// `@socket.io/redis-emitter` and `@socket.io/redis-adapter`, and `python-socketio`. They need no token: anyone who can publish in this
        /// Redis can send to every client.
        compat: Vec<EmitterSystem> = "",
        /// The `key` that emitters and servers of `socket.io` are configured with: what the names of their channels begin with.
        compat_key: String = "socket.io",
    }
}

impl RedisSettings {
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.chars().all(fits) {
            problems.push(Problem::rule(
                &["redis.prefix"],
                "has 1 to 64 letters, digits, -, _ and .",
            ));
        }
        let is_blank = |c: char| c.is_whitespace() || c.is_control();
        if !(1..=128).contains(&self.compat_key.len()) || self.compat_key.contains(is_blank) {
            problems.push(Problem::rule(
                &["redis.compat_key"],
                "has 1 to 128 bytes without white space: set it to the key of the emitters",
            ));
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            problems.push(Problem::rule(
                &["redis.tls_cert", "redis.tls_key"],
                "a certificate needs its key, and a key its certificate: set both",
            ));
        }
        let has_files = self.tls_ca.is_some() || self.tls_cert.is_some();
        let is_tls = |url: &SecretUrl| {
            url.expose()
                .split(',')
                .all(|url| url.trim().starts_with("rediss://"))
        };
        if has_files && !self.url.as_ref().is_some_and(is_tls) {
            problems.push(Problem::rule(
                &["redis.url", "redis.tls_ca", "redis.tls_cert"],
                "certificates are for TLS, and redis.url does not begin with rediss://: change it, or remove them",
            ));
        }
    }
}

choice! {
    /// A system whose emitters are served.
    pub enum EmitterSystem {
        /// Emitters and servers of Socket.IO for Node, and their likes in other languages.
        SocketIo = "socket.io",
        /// Write-only managers of python-socketio.
        Python = "python-socketio",
    }
}

choice! {
    /// When a message is on disk; SQLite's `PRAGMA synchronous`.
    pub enum Synchronous {
        /// Before it is acknowledged.
        Full = "full",
        /// Some time later: power loss may take the last messages.
        Normal = "normal",
        /// When the operating system writes it: power loss may take the whole log.
        Off = "off",
    }
}

/// Retention of the rooms that match a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRule {
    /// The rooms; `*` matches any run of characters.
    pub pattern: Pattern,
    /// Messages kept in such a room.
    pub messages: u64,
    /// How long a message is kept.
    pub age: Duration,
}

/// Rules, of which the first that matches a room applies.
pub type RetentionRules = Vec<RetentionRule>;

impl OptionValue for RetentionRule {
    const METAVAR: &'static str = "RULE";
    const SEPARATORS: fn(char) -> bool = |c| c == ';' || c.is_whitespace();

    fn expected() -> String {
        "a rule pattern=messages,age such as team:*=1000,30d".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        let (pattern, bounds) = text.trim().split_once('=')?;
        let (messages, age) = bounds.split_once(',')?;
        Some(Self {
            pattern: Pattern::parse(pattern.trim_end()).ok()?,
            messages: messages.trim().parse().ok()?,
            age: parse_duration(age)?,
        })
    }

    fn to_value(&self) -> Value {
        Value::Text(format!(
            "{}={},{}",
            self.pattern,
            self.messages,
            format_duration(self.age)
        ))
    }
}

impl HistorySettings {
    /// What is kept of each room.
    pub fn retention(&self) -> Retention {
        let rule = |rule: &RetentionRule| {
            let policy = RetentionPolicy {
                messages: rule.messages,
                age: rule.age,
            };
            (rule.pattern.clone(), policy)
        };
        Retention {
            default: RetentionPolicy {
                messages: self.messages,
                age: self.age,
            },
            policies: Vec::new(),
            rules: self.rooms.iter().map(rule).collect(),
        }
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        check_above_zero(&["history.age"], &self.age, problems);
        check_above_zero(&["history.page"], &self.page, problems);
        check_above_zero(&["history.page_bytes"], &self.page_bytes.bytes(), problems);
        if self.rooms.iter().any(|rule| rule.age.is_zero()) {
            problems.push(Problem::rule(
                &["history.rooms"],
                "the age of every rule must be more than 0",
            ));
        }
    }
}

impl SqliteSettings {
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        check_above_zero(&["sqlite.readers"], &self.readers, problems);
    }
}

#[cfg(test)]
mod tests;
