//! Placeholders of binary attachments in the JSON text of an event.
//!
//! Clients trust placeholders: one that gets a placeholder without an attachment closes its connection. So every placeholder has to
//! name an attachment of the event, and no attachment may be named twice, or few bytes could be made many. They may name them in any
//! order, as of clients whose objects are unordered.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// A JSON text by where it may hold placeholders.
pub(super) enum JsonShape<'a> {
    /// Nothing in it is a placeholder.
    Plain,
    Array(Vec<&'a RawValue>),
    Object(Vec<(String, &'a RawValue)>),
    /// A placeholder, with the number of its attachment if it has a valid one.
    Placeholder(Option<usize>),
}

impl<'a> JsonShape<'a> {
    /// Looks at a JSON text, one level deep.
    ///
    /// # Errors
    /// Fails if it is not JSON.
    pub(super) fn of(text: &'a str) -> serde_json::Result<Self> {
        if !may_hold_placeholder(text) {
            return Ok(Self::Plain);
        }
        if text.starts_with('[') {
            return serde_json::from_str(text).map(Self::Array);
        }
        if !text.starts_with('{') {
            return Ok(Self::Plain);
        }
        let ObjectFields(fields) = serde_json::from_str(text)?;
        // Of a repeated name, JavaScript takes the last.
        let last = |name: &str| fields.iter().rev().find(|(found, _)| found == name);
        Ok(
            match last("_placeholder").is_some_and(|(_, is)| is.get() == "true") {
                true => {
                    Self::Placeholder(last("num").and_then(|(_, number)| number.get().parse().ok()))
                }
                false => Self::Object(fields),
            },
        )
    }
}

/// Checks the placeholders in `values`.
///
/// # Errors
/// `bad_request` if a placeholder names no attachment, or one that another placeholder names.
pub(super) fn check_placeholders(
    values: &[&RawValue],
    attachments: Option<&VecDeque<Bytes>>,
) -> Result<()> {
    let Some(attachments) = attachments else {
        return Ok(());
    };
    let mut unused = UnusedAttachments(vec![true; attachments.len()]);
    values.iter().try_for_each(|value| unused.check(value))
}

/// Which attachments no placeholder has named yet.
struct UnusedAttachments(Vec<bool>);

impl UnusedAttachments {
    /// Checks a value, one level at a time, so that its depth is bounded by the packet's check.
    fn check(&mut self, value: &RawValue) -> Result<()> {
        match JsonShape::of(value.get()).map_err(|_| malformed())? {
            JsonShape::Plain => Ok(()),
            JsonShape::Array(items) => items.into_iter().try_for_each(|item| self.check(item)),
            JsonShape::Object(fields) => fields.iter().try_for_each(|(_, field)| self.check(field)),
            JsonShape::Placeholder(number) => self.take(number),
        }
    }

    fn take(&mut self, number: Option<usize>) -> Result<()> {
        let unused = number.and_then(|number| self.0.get_mut(number));
        let Some(unused) = unused else {
            return Err(Error::bad_request(
                "a placeholder of a binary attachment names none that came with the event",
            ));
        };
        match std::mem::take(unused) {
            true => Ok(()),
            false => Err(Error::bad_request(
                "a binary attachment may have one placeholder in its event",
            )),
        }
    }
}

/// The text has been parsed as JSON before, so this is a defect.
fn malformed() -> Error {
    Error::bad_request("an event is a JSON array")
}

/// Whether a string in a JSON text is `_placeholder`, with or without escapes.
fn may_hold_placeholder(text: &str) -> bool {
    if text.contains("\"_placeholder\"") {
        return true;
    }
    if !text.contains("\\u00") {
        return false;
    }
    let mut rest = text;
    while let Some(begin) = rest.find('"') {
        let string = &rest[begin..];
        let end = end_of_string(string.as_bytes());
        // At most as long as with every character escaped.
        if (1..=2 + 6 * "_placeholder".len()).contains(&end)
            && serde_json::from_str::<String>(&string[..end]).is_ok_and(|it| it == "_placeholder")
        {
            return true;
        }
        rest = &string[end..];
    }
    false
}

/// The position behind the closing quotation mark of a JSON string.
fn end_of_string(text: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The fields of an object, in order.
struct ObjectFields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for ObjectFields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> serde::de::Visitor<'de> for InOrder {
            type Value = ObjectFields<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<ObjectFields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(ObjectFields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests;
