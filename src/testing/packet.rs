//! Packets of Engine.IO 4 and Socket.IO 5, as far as a client for tests needs them.

use serde_json::Value;

/// What a server sends.
#[derive(Debug, PartialEq)]
pub(super) enum Packet {
    /// The handshake of Engine.IO.
    Open,
    /// Has to be answered.
    Ping,
    /// The answer to CONNECT, with the session's id.
    Connected(Value),
    /// Why CONNECT was refused.
    Refused(Value),
    /// The namespace's connection has ended.
    Disconnected,
    /// An event: its name, its arguments, and the number of its ack if its sender waits for one.
    Event(String, Vec<Value>, Option<u64>),
    /// The values of an ack, by the number that it was asked for with.
    Ack(u64, Vec<Value>),
    /// Anything else.
    Other,
}

impl Packet {
    /// Reads a packet of this namespace; those of others are [`Packet::Other`].
    pub(super) fn parse(text: &str, namespace: &str) -> Self {
        match text {
            "2" => return Self::Ping,
            _ if text.starts_with('0') => return Self::Open,
            _ => {}
        }
        Self::parse_message(text, namespace).unwrap_or(Self::Other)
    }

    fn parse_message(text: &str, namespace: &str) -> Option<Self> {
        let text = text.strip_prefix('4')?;
        let kind = text.chars().next()?;
        let rest = &text[kind.len_utf8()..];
        let (_, rest) = match kind {
            '5' | '6' => rest.split_once('-')?,
            _ => ("", rest),
        };
        // The main namespace is left out.
        let (named, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => ("/", rest),
        };
        if named != namespace {
            return None;
        }
        let body = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = &rest[..rest.len() - body.len()];
        Some(match kind {
            '0' => Self::Connected(serde_json::from_str(body).unwrap_or_default()),
            '1' => Self::Disconnected,
            '2' | '5' => {
                let mut arguments: Vec<Value> = serde_json::from_str(body).ok()?;
                let name = arguments.drain(..1.min(arguments.len())).next()?;
                Self::Event(name.as_str()?.to_owned(), arguments, number.parse().ok())
            }
            '3' | '6' => Self::Ack(number.parse().ok()?, serde_json::from_str(body).ok()?),
            '4' => Self::Refused(serde_json::from_str(body).ok()?),
            _ => return None,
        })
    }
}

/// A packet's text: its type, the number of its attachments, its namespace, the number of its ack, and its body.
pub(super) fn encode(
    kind: u8,
    attachments: usize,
    namespace: &str,
    ack: Option<u64>,
    body: &str,
) -> String {
    let attachments = match attachments {
        0 => String::new(),
        count => format!("{count}-"),
    };
    let namespace = match namespace {
        "/" => String::new(),
        other => format!("{other},"),
    };
    let ack = ack.map(|number| number.to_string()).unwrap_or_default();
    format!("4{kind}{attachments}{namespace}{ack}{body}")
}

#[cfg(test)]
mod tests;
