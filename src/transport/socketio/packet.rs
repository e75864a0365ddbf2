//! One event packet from a client: its arguments as JSON text, with the binary attachments that came along.
//!
//! socketioxide hands over the packet's array as text; nothing has looked into it but for the event's name. Here it is
//! checked once: depth first, so that no later reader recurses deeper than configured.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
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
        let no_name = || Error::bad_request("an event begins with its name");
        let Few { first, values } = serde_json::from_str(text).map_err(|error| {
            // Whatever is wrong with a text is found before its form is.
            match error.is_data() && text.starts_with('[') {
                true => too_many(),
                false => Error::bad_request("an event is a JSON array"),
            }
        })?;
        let event =
            serde_json::from_str(first.ok_or_else(no_name)?.get()).map_err(|_| no_name())?;
        Ok(Arguments { event, values })
    }
}

/// Arguments that an event may have. Nobody has so many, and each costs more than its bytes.
const ARGUMENTS: usize = 1024;

fn too_many() -> Error {
    let message = format!("an event may have {ARGUMENTS} arguments");
    Error::new(Code::TooLarge, message)
}

/// An array of no more than that, and what stands in front of them.
struct Few<'a> {
    first: Option<&'a RawValue>,
    values: Vec<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Few<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Few<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Few<'de>, A::Error> {
                let (first, mut values) = (array.next_element()?, Vec::new());
                while let Some(value) = array.next_element()? {
                    if values.len() == ARGUMENTS {
                        return Err(de::Error::custom("too many arguments"));
                    }
                    values.push(value);
                }
                Ok(Few { first, values })
            }
        }
        deserializer.deserialize_seq(Array)
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
mod tests;
