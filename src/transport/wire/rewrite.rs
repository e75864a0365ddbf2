//! Rewrites outgoing packets of socketioxide's: replies to CONNECT, and events that end in a string.
//!
//! A client that has a `pid` takes the last argument of every event for its offset if that argument is a string, whatever the
//! event; in an event without arguments, it takes the name. So an event of socketioxide's that ends in a string gets one
//! more argument, as every event of Socket.IO's own server has: the offset up to which messages have been sent to that client
//! before this event.

use crate::model::{ConnectionId, Offset, Pid};

use super::engine_frame::split_namespace;

/// What a reply to CONNECT tells the client about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) struct ConnectReply {
    /// Its `socket.id`. The Engine.IO session's own id is a secret and is replaced.
    pub(in crate::transport) connection: ConnectionId,
    /// The secret that resumes its session, if it can be resumed.
    pub(in crate::transport) pid: Option<Pid>,
    /// The offset up to which the client has messages.
    pub(in crate::transport) delivered: Offset,
}

impl ConnectReply {
    /// Writes this into a reply to CONNECT: `40{"sid":"…"}` becomes `40{"sid":"…","pid":"…"}`.
    fn write_into(&self, text: &str) -> Option<String> {
        let head = &text[..text.find('{')?];
        let connection = self.connection;
        Some(match self.pid {
            Some(pid) => format!(r#"{head}{{"sid":"{connection}","pid":"{}"}}"#, pid.reveal()),
            None => format!(r#"{head}{{"sid":"{connection}"}}"#),
        })
    }
}

/// The offset up to which messages have been sent to a client, by namespace in which it can resume its session.
#[derive(Debug, Default)]
pub(super) struct DeliveredOffsets(Vec<(Box<str>, Offset)>);

impl DeliveredOffsets {
    /// Starts counting in a namespace. Returns its reply to CONNECT with `reply` written into it.
    pub(super) fn connected(
        &mut self,
        text: &str,
        namespace: &str,
        reply: &ConnectReply,
    ) -> Option<String> {
        self.0.retain(|(name, _)| **name != *namespace);
        if reply.pid.is_some() {
            self.0.reserve_exact(1); // mostly the only one
            self.0.push((namespace.into(), reply.delivered));
        }
        reply.write_into(text)
    }

    /// A message is sent.
    pub(super) fn note(&mut self, namespace: &str, offset: Offset) {
        let mut entries = self.0.iter_mut().filter(|(name, _)| **name == *namespace);
        if let Some((_, delivered)) = entries.next() {
            *delivered = offset;
        }
    }

    /// Appends the offset to the arguments of an event; `None` if the event needs none. One that asks for an ack does not:
    /// clients put the callback behind its arguments.
    pub(super) fn append_to_event(&self, text: &str) -> Option<String> {
        let body = text.strip_suffix(']')?;
        if self.0.is_empty() || !body.trim_ascii_end().ends_with('"') {
            return None;
        }
        let (namespace, arguments) = split_namespace(match text.split_at_checked(2)? {
            ("42", rest) => rest,
            ("45", rest) => rest.split_once('-')?.1,
            _ => return None,
        });
        let (_, delivered) = self.0.iter().find(|(name, _)| **name == *namespace)?;
        arguments
            .starts_with('[')
            .then(|| format!("{body},\"{delivered}\"]"))
    }
}

#[cfg(test)]
mod tests;
