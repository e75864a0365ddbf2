//! The arguments of a relayed event with its attachments back in place of the placeholders, which are checked first.
//!
//! Clients trust what stands there: one that is given a placeholder of no attachment ends its connection. And an attachment
//! that is named a thousand times would be sent a thousand times. So every placeholder has to name an attachment that came
//! along, and no attachment is named twice.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeTuple};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// The arguments of one event.
pub(super) struct Filled<'a>(Vec<Node<'a>>);

/// A value. What holds no placeholder passes byte for byte; what holds some is taken apart one level at a time, so the depth
/// of this is what the packet's check allowed.
enum Node<'a> {
    Raw(&'a RawValue),
    Attachment(&'a Bytes),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// The attachments that were not named yet.
struct Unnamed<'a>(Vec<Option<&'a Bytes>>);

impl<'a> Filled<'a> {
    /// Puts attachments in their places.
    ///
    /// # Errors
    /// `bad_request` if a placeholder names none, or one that another names.
    pub(super) fn new(
        values: &[&'a RawValue],
        attachments: Option<&'a VecDeque<Bytes>>,
    ) -> Result<Self> {
        let Some(attachments) = attachments else {
            return Ok(Self(values.iter().copied().map(Node::Raw).collect()));
        };
        let mut unnamed = Unnamed(attachments.iter().map(Some).collect());
        let values = values.iter().map(|value| unnamed.fill(value));
        Ok(Self(values.collect::<Result<_>>()?))
    }
}

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut arguments = serializer.serialize_tuple(self.0.len())?;
        for value in &self.0 {
            arguments.serialize_element(value)?;
        }
        arguments.end()
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Raw(value) => value.serialize(serializer),
            Node::Attachment(bytes) => serializer.serialize_bytes(bytes),
            Node::Array(items) => serializer.collect_seq(items),
            Node::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, field)| (name, field)))
            }
        }
    }
}

impl<'a> Unnamed<'a> {
    fn fill(&mut self, value: &'a RawValue) -> Result<Node<'a>> {
        let text = value.get();
        if !may_hold_placeholder(text) {
            return Ok(Node::Raw(value));
        }
        if text.starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| malformed())?;
            let items = items.into_iter().map(|item| self.fill(item));
            return Ok(Node::Array(items.collect::<Result<_>>()?));
        }
        if !text.starts_with('{') {
            return Ok(Node::Raw(value));
        }
        let Fields(fields) = serde_json::from_str(text).map_err(|_| malformed())?;
        // Of a name that is there twice, JavaScript takes the last.
        let last = |name: &str| fields.iter().rev().find(|(found, _)| found == name);
        if last("_placeholder").is_some_and(|(_, is)| is.get() == "true") {
            let number = last("num").and_then(|(_, number)| number.get().parse().ok());
            return self.attachment(number).map(Node::Attachment);
        }
        let fields = fields
            .into_iter()
            .map(|(name, field)| Ok((name, self.fill(field)?)));
        Ok(Node::Object(fields.collect::<Result<_>>()?))
    }

    fn attachment(&mut self, number: Option<usize>) -> Result<&'a Bytes> {
        let place = number.and_then(|number| self.0.get_mut(number));
        let Some(place) = place else {
            return Err(Error::bad_request(
                "a placeholder of a binary attachment names none that came with the event",
            ));
        };
        place.take().ok_or_else(|| {
            Error::bad_request("a binary attachment may have one placeholder in its event")
        })
    }
}

/// The text has been read as JSON before, so this is a defect.
fn malformed() -> Error {
    Error::bad_request("an event is a JSON array")
}

/// Whether some string in a JSON text reads `_placeholder`, however it is written.
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
        // Each character as an escape.
        if (1..=2 + 6 * "_placeholder".len()).contains(&end)
            && serde_json::from_str::<String>(&string[..end]).is_ok_and(|it| it == "_placeholder")
        {
            return true;
        }
        rest = &string[end..];
    }
    false
}

/// Where a string in JSON ends, behind its quotation mark.
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

/// The fields of an object, in their order.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> serde::de::Visitor<'de> for InOrder {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests;
