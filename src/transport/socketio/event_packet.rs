//! One event packet of a client: its arguments as JSON text, with its binary attachments.
//!
//! socketioxide passes the packet's array as text and has parsed only the event's name. Here it is checked once: depth first,
//! so that no later parser recurses deeper than configured.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    error::{Code, Error, Limit, Result},
    limits::exceeds_depth,
};

/// An event that has not been handled yet.
pub(super) struct EventPacket {
    /// `["event", argument…]`.
    pub(super) text: engineioxide::Str,
    /// The attachments that placeholders in the text stand for.
    pub(super) attachments: Option<VecDeque<Bytes>>,
    /// The ack id, if the client asked for an ack.
    pub(super) ack: Option<i64>,
}

/// The parsed array of a packet.
pub(super) struct EventArguments<'a> {
    pub(super) event: String,
    pub(super) values: Vec<&'a RawValue>,
}

impl EventPacket {
    /// Bytes of its text and attachments.
    pub(super) fn bytes(&self) -> usize {
        let attached = self
            .attachments
            .iter()
            .flatten()
            .map(Bytes::len)
            .sum::<usize>();
        self.text.len() + attached
    }

    /// Parses the array; an argument may have `nesting` levels of arrays and objects.
    ///
    /// # Errors
    /// `too_large` if it is nested deeper or has too many arguments, `bad_request` if it is not an array that starts with a
    /// name.
    pub(super) fn arguments(&self, nesting: usize) -> Result<EventArguments<'_>> {
        let text = self.text.as_str();
        if exceeds_depth(text, nesting.saturating_add(1)) {
            return Err(Error::new(
                Code::TooLarge,
                format!("an event may nest {nesting} arrays and objects"),
            )
            .for_limit(Limit::Nesting));
        }
        let no_name = || Error::bad_request("an event begins with its name");
        let BoundedArray { first, values } = serde_json::from_str(text).map_err(|error| {
            // Syntax errors are found before the number of elements is.
            match error.is_data() && text.starts_with('[') {
                true => too_many(),
                false => Error::bad_request("an event is a JSON array"),
            }
        })?;
        let event =
            serde_json::from_str(first.ok_or_else(no_name)?.get()).map_err(|_| no_name())?;
        Ok(EventArguments { event, values })
    }
}

/// Maximum arguments of an event. No client has that many, and each costs more memory than its bytes.
const MAX_ARGUMENTS: usize = 1024;

fn too_many() -> Error {
    let message = format!("an event may have {MAX_ARGUMENTS} arguments");
    Error::new(Code::TooLarge, message)
}

/// An array of at most that many elements after its first.
struct BoundedArray<'a> {
    first: Option<&'a RawValue>,
    values: Vec<&'a RawValue>,
}

impl<'de> Deserialize<'de> for BoundedArray<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = BoundedArray<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut array: A,
            ) -> Result<BoundedArray<'de>, A::Error> {
                let (first, mut values) = (array.next_element()?, Vec::new());
                while let Some(value) = array.next_element()? {
                    if values.len() == MAX_ARGUMENTS {
                        return Err(de::Error::custom("too many arguments"));
                    }
                    values.push(value);
                }
                Ok(BoundedArray { first, values })
            }
        }
        deserializer.deserialize_seq(Array)
    }
}

impl<'a> EventArguments<'a> {
    /// The argument of an event that takes one.
    ///
    /// # Errors
    /// `bad_request` if there is none, or more than one.
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
