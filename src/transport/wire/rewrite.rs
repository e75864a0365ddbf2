//! What is rewritten in socketioxide's packets on their way out: the answer to CONNECT, and events that end in a string.
//!
//! A client that has a `pid` takes the last argument of every event, if that is a string, for its offset, whatever the event;
//! where an event has no arguments, its name. So an event of socketioxide's that ends so gets one more argument, as every
//! event has with Socket.IO's own server: the offset up to which that client has been given messages at that place.

use crate::model::{ConnectionId, Offset, Pid};

use super::frame::namespace_and_rest;

/// What an answer to CONNECT tells the client of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) struct ConnectReply {
    /// Its `socket.id`, in place of the Engine.IO session's, which is a secret.
    pub(in crate::transport) connection: ConnectionId,
    /// What it can resume its session by.
    pub(in crate::transport) pid: Option<Pid>,
    /// The offset up to which it has been given messages.
    pub(in crate::transport) given: Offset,
}

impl ConnectReply {
    /// The answer to CONNECT that tells this: `40{"sid":"…"}` becomes `40{"sid":"…","pid":"…"}`.
    fn rewritten(&self, text: &str) -> Option<String> {
        let head = &text[..text.find('{')?];
        let connection = self.connection;
        Some(match self.pid {
            Some(pid) => format!(r#"{head}{{"sid":"{connection}","pid":"{}"}}"#, pid.reveal()),
            None => format!(r#"{head}{{"sid":"{connection}"}}"#),
        })
    }
}

/// Up to which offset the client has been given messages in each namespace where it can resume its session.
#[derive(Debug, Default)]
pub(super) struct Given(Vec<(Box<str>, Offset)>);

impl Given {
    /// The answer to a namespace's CONNECT, with `reply` in it.
    pub(super) fn connected(
        &mut self,
        text: &str,
        namespace: &str,
        reply: &ConnectReply,
    ) -> Option<String> {
        self.0.retain(|(name, _)| **name != *namespace);
        if reply.pid.is_some() {
            self.0.push((namespace.into(), reply.given));
        }
        reply.rewritten(text)
    }

    /// A message goes out.
    pub(super) fn note(&mut self, namespace: &str, offset: Offset) {
        let mut of = self.0.iter_mut().filter(|(name, _)| **name == *namespace);
        if let Some((_, given)) = of.next() {
            *given = offset;
        }
    }

    /// An event with an offset behind its last argument; `None` if it can stay as it is. One that asks for an ack can:
    /// clients put the callback behind its arguments.
    pub(super) fn event(&self, text: &str) -> Option<String> {
        let body = text.strip_suffix(']')?;
        if self.0.is_empty() || !body.trim_ascii_end().ends_with('"') {
            return None;
        }
        let (namespace, arguments) = namespace_and_rest(match text.split_at_checked(2)? {
            ("42", rest) => rest,
            ("45", rest) => rest.split_once('-')?.1,
            _ => return None,
        });
        let (_, given) = self.0.iter().find(|(name, _)| **name == *namespace)?;
        arguments
            .starts_with('[')
            .then(|| format!("{body},\"{given}\"]"))
    }
}

#[cfg(test)]
mod tests;
