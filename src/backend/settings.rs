//! What can be set about the log: how much of each room it keeps, and how SQLite writes it.

use std::time::Duration;

use super::{Retention, RetentionPolicy};
use crate::{
    options::{
        ByteSize, OptionValue, Problem, SecretUrl, Value, check_above_zero, choice,
        format_duration, parse_duration, section,
    },
    pattern::Pattern,
};

section! {
    /// What is kept of each room, and how it is read back.
    pub struct HistorySettings at "history" {
        /// Messages kept of a room; 0 keeps none.
        messages: u64 = "10000",
        /// How long a message is kept.
        age: Duration = "7d",
        /// Other bounds for some rooms, the first that fits: `pattern=messages,age`, with `;` or white space between rules.
        rooms: RetentionRules = "",
        /// Messages in one answer, at most.
        page: usize = "1000",
        /// Bytes of messages in one answer, at most.
        page_bytes: ByteSize = "1 MiB",
        /// Memory for the newest messages of the rooms in use, so that recovery seldom reads the disk.
        hot_bytes: ByteSize = "64 MiB",
        /// How long a message can be sent again under its `id` without being stored twice.
        idempotency: Duration = "1h",
    }
}

section! {
    /// How the embedded log is written and read.
    pub struct SqliteSettings at "sqlite" {
        /// When a message is on the disk: `full` before it is acknowledged, `normal` some time later, `off` when the
        /// system likes.
        synchronous: Synchronous = "full",
        /// Connections that read while another writes.
        readers: usize = "2",
    }
}

section! {
    /// The log that nodes share, in Redis or Valkey.
    pub struct RedisSettings at "redis" {
        /// Where it is: `redis://[user:password@]host[:port]`, `rediss://` over TLS; several with commas for Redis Cluster,
        /// any of its nodes.
        /// Setting it makes this server a node of all that name the same.
        url: Option<SecretUrl> = "",
        /// What all keys and channels there begin with. Nodes with the same one are one server; servers that have nothing to do
        /// with each other need different ones to share a Redis.
        prefix: String = "switchboard",
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
    }
}

choice! {
    /// When a message is on the disk; SQLite's `PRAGMA synchronous`.
    pub enum Synchronous {
        /// Before it is acknowledged.
        Full = "full",
        /// Some time later: power loss may take the last messages.
        Normal = "normal",
        /// When the system likes: power loss may take the whole log.
        Off = "off",
    }
}

/// Bounds for the rooms that a pattern fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRule {
    /// Which rooms; `*` matches any run of characters.
    pub pattern: Pattern,
    /// Messages kept of such a room.
    pub messages: u64,
    /// How long a message is kept.
    pub age: Duration,
}

/// Rules in the order they are tried: the first that fits a room counts.
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
            let keep = RetentionPolicy {
                messages: rule.messages,
                age: rule.age,
            };
            (rule.pattern.clone(), keep)
        };
        Retention {
            default: RetentionPolicy {
                messages: self.messages,
                age: self.age,
            },
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
