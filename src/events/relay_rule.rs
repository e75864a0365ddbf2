//! A rule of `socketio.relay`: which events are relayed, where, and how.

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, Result},
    model::{MAX_EVENT_BYTES, Namespace},
    options::{OptionValue, Value},
};

/// How events are relayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayMode {
    /// Also to the socket that sent it, as `io.emit` does.
    pub to_sender: bool,
    /// An ack is answered without arguments.
    pub empty_ack: bool,
}

/// Events that are relayed: `name`, `name=all`, `name=ack`, `name=all=ack`, in all namespaces or, after its name and a blank,
/// in one: `/game move=all`. `*` in a name matches any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayRule {
    /// `None`: in every namespace.
    pub namespace: Option<Namespace>,
    /// The name, or a pattern of names.
    pub event: String,
    /// How they are relayed.
    pub mode: RelayMode,
}

/// Names that Socket.IO itself uses on one side or the other: clients that receive such an event close their connection, or take it for
/// something else.
const SOCKET_IO_EVENTS: [&str; 7] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
    "error",
];

impl RelayRule {
    /// Whether the name is a pattern.
    pub fn is_pattern(&self) -> bool {
        self.event.contains('*')
    }
}

/// Checks the name of an event that relaying or an application claims.
///
/// # Errors
/// `bad_request`, with a message that says what is wrong.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.len() > MAX_EVENT_BYTES {
        let message = format!("an event name has at most {MAX_EVENT_BYTES} bytes");
        return Err(Error::bad_request(message));
    }
    if SOCKET_IO_EVENTS.contains(&name) {
        return Err(Error::bad_request("Socket.IO uses this name itself"));
    }
    Ok(())
}

impl FromStr for RelayRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut rest = text.trim();
        let mut mode = RelayMode::default();
        while let Some((before, word)) = rest.rsplit_once('=') {
            match word {
                "all" => mode.to_sender = true,
                "ack" => mode.empty_ack = true,
                _ => break,
            }
            rest = before.trim_end();
        }
        let (namespace, event) = match rest.split_once(' ') {
            Some((namespace, event)) if namespace.starts_with('/') => {
                (Some(Namespace::parse(namespace)?), event.trim_start())
            }
            _ => (None, rest),
        };
        check_name(event)?;
        if event.is_empty() || event.chars().any(char::is_control) {
            let message = "an event name in a rule is not empty and has no control characters";
            return Err(Error::bad_request(message));
        }
        Ok(Self {
            namespace,
            event: event.to_owned(),
            mode,
        })
    }
}

impl fmt::Display for RelayRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace} ")?;
        }
        f.write_str(&self.event)?;
        if self.mode.to_sender {
            f.write_str("=all")?;
        }
        if self.mode.empty_ack {
            f.write_str("=ack")?;
        }
        Ok(())
    }
}

impl OptionValue for RelayRule {
    const METAVAR: &'static str = "EVENT";

    fn expected() -> String {
        format!(
            "an event name of 1 to {MAX_EVENT_BYTES} bytes that Socket.IO does not use itself, or a pattern with *, perhaps with a namespace before it and =all or =ack behind it, such as \"draw\", \"chat message=all\" or \"/game move:*=ack\""
        )
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }
}

#[cfg(test)]
mod tests;
