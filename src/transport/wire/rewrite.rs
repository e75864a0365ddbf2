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
mod tests {
    use super::*;

    fn reply(pid: Option<Pid>) -> ConnectReply {
        ConnectReply {
            connection: ConnectionId::fresh(),
            pid,
            given: Offset(3),
        }
    }

    fn given() -> Given {
        let mut given = Given::default();
        let pid = Some(Pid::fresh());
        given.connected("40{\"sid\":\"x\"}", "/", &reply(pid));
        given.connected("40/chat,{\"sid\":\"x\"}", "/chat", &reply(pid));
        given.note("/chat", Offset(9));
        given.note("/nowhere", Offset(10));
        given
    }

    #[test]
    fn the_answer_to_connect_tells_the_public_id_and_the_secret_and_not_the_engine_session() {
        let pid = Pid::fresh();
        for (text, head) in [
            ("40{\"sid\":\"x\"}", "40"),
            ("40/chat,{\"sid\":\"x\"}", "40/chat,"),
        ] {
            let with = reply(Some(pid));
            let (id, secret) = (with.connection, pid.reveal());
            assert_eq!(
                Given::default().connected(text, "/", &with).unwrap(),
                format!("{head}{{\"sid\":\"{id}\",\"pid\":\"{secret}\"}}")
            );
            let without = reply(None);
            let id = without.connection;
            assert_eq!(
                Given::default().connected(text, "/", &without).unwrap(),
                format!("{head}{{\"sid\":\"{id}\"}}")
            );
        }
    }

    #[test]
    fn an_event_that_ends_in_a_string_gets_the_offset_of_its_namespace() {
        let given = given();
        for (event, with) in [
            ("42[\"news\",\"out\"]", "42[\"news\",\"out\",\"3~\"]"),
            (
                "42/chat,[\"news\",1,\"\"]",
                "42/chat,[\"news\",1,\"\",\"9~\"]",
            ),
            ("42[\"tick\"]", "42[\"tick\",\"3~\"]"),
            ("42[\"a\",\"\\\"\" ]", "42[\"a\",\"\\\"\" ,\"3~\"]"),
            ("42[\"a\",\"12~\"]", "42[\"a\",\"12~\",\"3~\"]"),
            (
                "451-/chat,[\"a\",{\"_placeholder\":true,\"num\":0},\"b\"]",
                "451-/chat,[\"a\",{\"_placeholder\":true,\"num\":0},\"b\",\"9~\"]",
            ),
        ] {
            assert_eq!(given.event(event).as_deref(), Some(with), "{event}");
        }
    }

    #[test]
    fn any_other_packet_stays_as_it_is() {
        let given = given();
        for packet in [
            "42[\"a\",[\"b\"]]",
            "42[\"a\",{\"b\":\"c\"}]",
            "42[\"a\",7]",
            "42[7]",
            "4217[\"a\",\"b\"]",
            "451-12[\"a\",{\"_placeholder\":true,\"num\":0},\"b\"]",
            "42/other,[\"a\",\"b\"]",
            "43[\"b\"]",
            "437[\"b\"]",
            "461-7[\"b\"]",
            "40{\"sid\":\"x\"}",
            "44[\"b\"]",
            "2",
            "",
            "]",
            "\"]",
            "4ä\"]",
        ] {
            assert_eq!(given.event(packet), None, "{packet}");
        }
    }

    #[test]
    fn a_session_that_cannot_be_resumed_is_told_no_offsets() {
        let mut given = given();
        given.connected("40{\"sid\":\"x\"}", "/", &reply(None));
        assert_eq!(given.event("42[\"a\",\"b\"]"), None);
        assert!(given.event("42/chat,[\"a\",\"b\"]").is_some());
    }
}
