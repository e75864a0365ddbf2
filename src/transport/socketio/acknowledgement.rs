//! The arguments of a client's ack, as JSON text.
//!
//! socketioxide deserializes an ack into a type of ours and does not pass its binary attachments on: only their placeholders
//! in the text are seen.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::error::{Error, Result};

/// The arguments of a client's ack.
pub(super) struct Acknowledgement(Vec<Box<RawValue>>);

impl Acknowledgement {
    /// The arguments byte for byte.
    ///
    /// # Errors
    /// `bad_request` if they have binary attachments, which a JSON reply cannot carry.
    pub(super) fn values(self) -> Result<Vec<Box<RawValue>>> {
        if self.0.iter().any(|value| holds_placeholder(value)) {
            return Err(Error::bad_request(
                "an ack takes no binary attachments: send text (base64 for instance)",
            ));
        }
        Ok(self.0)
    }
}

impl<'de> Deserialize<'de> for Acknowledgement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // socketioxide passes the whole array to a tuple, and its first element to any other type. serde_json reads to the
        // end whatever the length.
        deserializer.deserialize_tuple(0, ArgumentsVisitor)
    }
}

struct ArgumentsVisitor;

impl<'de> Visitor<'de> for ArgumentsVisitor {
    type Value = Acknowledgement;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the arguments of an ack")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut arguments: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = arguments.next_element()? {
            values.push(value);
        }
        Ok(Acknowledgement(values))
    }
}

/// Whether a client may take a part of this value for a binary attachment.
fn holds_placeholder(value: &RawValue) -> bool {
    // Hardly any ack has the word in it.
    if !value.get().contains("_placeholder") {
        return false;
    }
    // A value that serde_json refuses because it is nested too deeply is refused here, too.
    serde_json::from_str(value.get()).map_or(true, |value| is_or_holds_placeholder(&value))
}

fn is_or_holds_placeholder(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_or_holds_placeholder),
        Value::Object(fields) => {
            fields.get("_placeholder") == Some(&Value::Bool(true))
                || fields.values().any(is_or_holds_placeholder)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
