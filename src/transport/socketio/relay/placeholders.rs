//! Puts the attachments of a relayed event back in place of their placeholders, and checks the placeholders.
//!
//! Clients trust placeholders: one that gets a placeholder without an attachment closes its connection. And an attachment that
//! is named a thousand times would be sent a thousand times. So every placeholder has to name an attachment of the event, and
//! no attachment may be named twice.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeTuple};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// The arguments of one event, with its attachments in their places.
pub(super) struct FilledArguments<'a>(Vec<JsonNode<'a>>);

/// A value. One without placeholders passes byte for byte; one with placeholders is parsed one level at a time, so its depth is
/// bounded by the packet's check.
enum JsonNode<'a> {
    Raw(&'a RawValue),
    Attachment(&'a Bytes),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// The attachments that no placeholder has named yet.
struct UnusedAttachments<'a>(Vec<Option<&'a Bytes>>);

impl<'a> FilledArguments<'a> {
    /// Replaces the placeholders in `values`.
    ///
    /// # Errors
    /// `bad_request` if a placeholder names no attachment, or one that another placeholder names.
    pub(super) fn new(
        values: &[&'a RawValue],
        attachments: Option<&'a VecDeque<Bytes>>,
    ) -> Result<Self> {
        let Some(attachments) = attachments else {
            return Ok(Self(values.iter().copied().map(JsonNode::Raw).collect()));
        };
        let mut unused = UnusedAttachments(attachments.iter().map(Some).collect());
        let values = values.iter().map(|value| unused.fill(value));
        Ok(Self(values.collect::<Result<_>>()?))
    }
}

impl Serialize for FilledArguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut arguments = serializer.serialize_tuple(self.0.len())?;
        for value in &self.0 {
            arguments.serialize_element(value)?;
        }
        arguments.end()
    }
}

impl Serialize for JsonNode<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            JsonNode::Raw(value) => value.serialize(serializer),
            JsonNode::Attachment(bytes) => serializer.serialize_bytes(bytes),
            JsonNode::Array(items) => serializer.collect_seq(items),
            JsonNode::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, field)| (name, field)))
            }
        }
    }
}

impl<'a> UnusedAttachments<'a> {
    fn fill(&mut self, value: &'a RawValue) -> Result<JsonNode<'a>> {
        let text = value.get();
        if !may_hold_placeholder(text) {
            return Ok(JsonNode::Raw(value));
        }
        if text.starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| malformed())?;
            let items = items.into_iter().map(|item| self.fill(item));
            return Ok(JsonNode::Array(items.collect::<Result<_>>()?));
        }
        if !text.starts_with('{') {
            return Ok(JsonNode::Raw(value));
        }
        let ObjectFields(fields) = serde_json::from_str(text).map_err(|_| malformed())?;
        // Of a repeated name, JavaScript takes the last.
        let last = |name: &str| fields.iter().rev().find(|(found, _)| found == name);
        if last("_placeholder").is_some_and(|(_, is)| is.get() == "true") {
            let number = last("num").and_then(|(_, number)| number.get().parse().ok());
            return self.attachment(number).map(JsonNode::Attachment);
        }
        let fields = fields
            .into_iter()
            .map(|(name, field)| Ok((name, self.fill(field)?)));
        Ok(JsonNode::Object(fields.collect::<Result<_>>()?))
    }

    fn attachment(&mut self, number: Option<usize>) -> Result<&'a Bytes> {
        let slot = number.and_then(|number| self.0.get_mut(number));
        let Some(slot) = slot else {
            return Err(Error::bad_request(
                "a placeholder of a binary attachment names none that came with the event",
            ));
        };
        slot.take().ok_or_else(|| {
            Error::bad_request("a binary attachment may have one placeholder in its event")
        })
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
