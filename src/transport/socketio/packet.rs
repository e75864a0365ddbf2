//! One event packet from a client: its arguments as JSON text, with the binary attachments that came along.
//!
//! socketioxide hands over the packet's array as text; nothing has looked into it but for the event's name. Here it is
//! checked once: depth first, so that no later reader recurses deeper than configured.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    error::{Code, Error, Limit, Result},
    limits::nests_deeper,
};

/// An event as it waits to be handled.
pub(super) struct Packet {
    /// `["event", argument…]`.
    pub(super) text: engineioxide::Str,
    /// What the placeholders in the text stand for.
    pub(super) attachments: Option<VecDeque<Bytes>>,
    /// What to answer to, if the client asked for an answer.
    pub(super) ack: Option<i64>,
}

/// The parts of a packet.
pub(super) struct Arguments<'a> {
    pub(super) event: String,
    pub(super) values: Vec<&'a RawValue>,
}

impl Packet {
    /// Bytes it holds while it waits.
    pub(super) fn bytes(&self) -> usize {
        let attached = self
            .attachments
            .iter()
            .flatten()
            .map(Bytes::len)
            .sum::<usize>();
        self.text.len() + attached
    }

    /// Takes the array apart; at most `nesting` levels of arrays and objects may stand in an argument.
    pub(super) fn arguments(&self, nesting: usize) -> Result<Arguments<'_>> {
        let text = self.text.as_str();
        if nesting != 0 && nests_deeper(text, nesting.saturating_add(1)) {
            return Err(Error::new(
                Code::TooLarge,
                format!("an event may nest {nesting} arrays and objects"),
            )
            .for_limit(Limit::Nesting));
        }
        let mut values: Vec<&RawValue> = serde_json::from_str(text)
            .map_err(|_| Error::bad_request("an event is a JSON array"))?;
        if values.is_empty() {
            return Err(Error::bad_request("an event begins with its name"));
        }
        let event = serde_json::from_str(values.remove(0).get())
            .map_err(|_| Error::bad_request("an event begins with its name"))?;
        Ok(Arguments { event, values })
    }
}

impl<'a> Arguments<'a> {
    /// The only argument.
    pub(super) fn single(&self) -> Result<&'a RawValue> {
        match self.values.as_slice() {
            [value] => Ok(value),
            values => Err(Error::bad_request(format!(
                "{} takes one argument, not {}",
                self.event,
                values.len()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(text: &str) -> Packet {
        Packet {
            text: text.to_owned().into(),
            attachments: None,
            ack: None,
        }
    }

    #[test]
    fn arguments_keep_their_bytes() {
        let packet = packet(r#"["message", {"data": 1.0 } ,12345678901234567890]"#);
        let arguments = packet.arguments(64).unwrap();
        assert_eq!(arguments.event, "message");
        let texts: Vec<_> = arguments.values.iter().map(|value| value.get()).collect();
        assert_eq!(texts, [r#"{"data": 1.0 }"#, "12345678901234567890"]);
        assert!(arguments.single().is_err());
    }

    #[test]
    fn an_event_that_nests_deeper_than_allowed_is_refused_whatever_its_size() {
        let nested =
            |levels: usize| format!("[\"e\",{}{}]", "[".repeat(levels), "]".repeat(levels));
        assert!(packet(&nested(64)).arguments(64).is_ok());
        assert_eq!(
            packet(&nested(65)).arguments(64).err().unwrap().code(),
            Code::TooLarge
        );
        assert!(packet(&nested(200_000)).arguments(64).is_err());
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for text in ["", "[]", "{}", "[1]", "[null]", "[\"a\"", "[\"a\",]", "7"] {
            assert!(packet(text).arguments(64).is_err(), "{text}");
        }
    }
}
