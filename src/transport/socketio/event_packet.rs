//! One event packet of a client: its arguments as JSON text, with its binary attachments.
//!
//! socketioxide passes the packet's array as text and has parsed only the event's name. Here it is checked once: depth first,
//! so that no later parser recurses deeper than configured. The arguments of an event whose owner does not look at them are not parsed.

use std::{borrow::Cow, collections::VecDeque, fmt, sync::OnceLock};

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
    /// The inbound filter has found the text to be JSON.
    pub(super) is_json: bool,
}

/// The array of a packet.
pub(super) struct EventArguments<'a> {
    pub(super) event: Cow<'a, str>,
    text: &'a str,
    /// The arguments, once somebody has asked for them.
    values: OnceLock<Vec<&'a RawValue>>,
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

    /// Checks the array; an argument may have `nesting` levels of arrays and objects.
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
        if self.is_json
            && text.len() <= MAX_ARGUMENTS * MIN_ARGUMENT_BYTES
            && let Some(event) = plain_name(text)
        {
            return Ok(EventArguments {
                event: Cow::Borrowed(event),
                text,
                values: OnceLock::new(),
            });
        }
        let no_name = || Error::bad_request("an event begins with its name");
        let BoundedArray { first, values } = parse_array(text)?;
        let event = name(first.ok_or_else(no_name)?.get()).ok_or_else(no_name)?;
        Ok(EventArguments {
            event,
            text,
            values: values.into(),
        })
    }
}

fn parse_array(text: &str) -> Result<BoundedArray<'_>> {
    serde_json::from_str(text).map_err(|error| {
        // Syntax errors are found before the number of elements is.
        match error.is_data() && text.starts_with('[') {
            true => too_many(),
            false => Error::bad_request("an event is a JSON array"),
        }
    })
}

/// The string without escapes that an array begins with.
fn plain_name(text: &str) -> Option<&str> {
    let elements = text.strip_prefix('[')?;
    let mut names = serde_json::Deserializer::from_str(elements).into_iter();
    names.next()?.ok()
}

/// A JSON string, copied only if it has escapes.
fn name(text: &str) -> Option<Cow<'_, str>> {
    match serde_json::from_str(text) {
        Ok(name) => Some(Cow::Borrowed(name)),
        Err(_) => serde_json::from_str(text).map(Cow::Owned).ok(),
    }
}

/// Maximum arguments of an event. No client has that many, and each costs more memory than its bytes.
const MAX_ARGUMENTS: usize = 1024;

/// An argument has at least a digit and a comma.
const MIN_ARGUMENT_BYTES: usize = 2;

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
    /// The arguments.
    pub(super) fn values(&self) -> &[&'a RawValue] {
        self.values.get_or_init(|| {
            // What is not parsed yet is known to be an array of not too many.
            parse_array(self.text).map_or_else(|_| Vec::new(), |array| array.values)
        })
    }

    /// The argument of an event that takes one.
    ///
    /// # Errors
    /// `bad_request` if there is none, or more than one.
    pub(super) fn single(&self) -> Result<&'a RawValue> {
        match self.values() {
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
