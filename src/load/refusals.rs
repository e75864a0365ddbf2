//! What the server refuses, and what to do about it.

use std::fmt;

use serde::Serialize;

/// A refusal, as the server words it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Refusal {
    /// What was refused: `connect`, `join` or `message`.
    pub(crate) what: &'static str,
    /// The server's code, or the status of its response.
    pub(crate) code: String,
    /// The server's words.
    pub(crate) message: String,
}

/// Where a refusal of this text is explained, and which option raises the limit.
const ADVICE: &[(&str, &str)] = &[
    (
        "connections_per_ip",
        "raise limits.connections_per_ip of the server (0: no limit), or spread the load over more --source addresses",
    ),
    (
        "connections_per_user",
        "raise limits.connections_per_user of the server (0: no limit), or give each client a user of its own with --token-file",
    ),
    (
        "limits.connections ",
        "raise limits.connections of the server",
    ),
    (
        "too many connect at this moment",
        "raise limits.connects_per_second of the server (0: no limit), or connect more slowly with --ramp",
    ),
    (
        "user_messages_per_second",
        "raise limits.user_messages_per_second of the server (0: no limit), or give each client a user of its own with --token-file",
    ),
    (
        "messages_per_second",
        "raise limits.messages_per_second of the server (0: no limit), or lower the rate",
    ),
    (
        "joins_per_second",
        "raise limits.joins_per_second of the server (0: no limit)",
    ),
    (
        "inbox",
        "raise limits.inbox and limits.inbox_bytes of the server, or lower --in-flight",
    ),
    (
        "without a good token",
        "the server has refused so many of this address that it refuses all for a while: --token or --token-file",
    ),
    (
        "unauthorized",
        "the server wants a token: --token, or --token-file with one a line (switchboard token --sub load prints one)",
    ),
    (
        "forbidden",
        "the token does not permit this: it needs join and publish for the rooms of --room",
    ),
    (
        "too_large",
        "raise limits.message_bytes of the server, or lower --size",
    ),
];

impl Refusal {
    /// Reads `{ "code", "message" }`, which may be behind something else, or takes the text as it is.
    pub(super) fn read(what: &'static str, code: &str, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let field = |name: &str| {
            let (_, rest) = text.split_once(&format!("\"{name}\":\""))?;
            Some(rest.split('"').next().unwrap_or_default().to_owned())
        };
        let short = || text.chars().take(200).collect::<String>();
        Self {
            what,
            code: field("code").unwrap_or_else(|| code.to_owned()),
            message: field("message").unwrap_or_else(short),
        }
    }

    /// What to do about it, if that is known.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        let text = format!("{}: {} ", self.code, self.message);
        let found = ADVICE.iter().find(|(part, _)| text.contains(part));
        found.map(|(_, advice)| *advice)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused: {}", self.what, self.code)?;
        if !self.message.is_empty() && self.message != self.code {
            write!(f, ": {}", self.message)?;
        }
        match self.advice() {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
