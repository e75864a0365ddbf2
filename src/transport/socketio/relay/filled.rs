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
mod tests {
    use super::*;

    /// The arguments, with the first byte of each attachment in its place.
    fn filled(text: &str, attachments: u8) -> Result<String> {
        let values: Vec<&RawValue> = serde_json::from_str(text).unwrap();
        let attachments: VecDeque<Bytes> = (0..attachments)
            .map(|byte| Bytes::from(vec![byte + 7]))
            .collect();
        let filled = Filled::new(&values, Some(&attachments))?;
        Ok(serde_json::to_string(&filled).unwrap())
    }

    #[test]
    fn attachments_are_put_where_their_placeholders_stand_and_the_rest_stays_as_it_is() {
        for (text, expected) in [
            ("[1.0, \"_placeholder\"]", "[1.0,\"_placeholder\"]"),
            (
                r#"[{"_placeholder":true,"num":1},[{"a":{"num":0,"_placeholder":true},"b":1.50}]]"#,
                r#"[[8],[{"a":[7],"b":1.50}]]"#,
            ),
            (r#"[{"_placeh\u006flder":true,"num":0}]"#, "[[7]]"),
            (
                r#"[{"_placeholder":true,"_placeholder":false}]"#,
                r#"[{"_placeholder":true,"_placeholder":false}]"#,
            ),
            (
                r#"[{"_placeholder":1,"num":9}]"#,
                r#"[{"_placeholder":1,"num":9}]"#,
            ),
        ] {
            assert_eq!(filled(text, 2).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_placeholder_names_an_attachment_and_an_attachment_has_one_placeholder() {
        for text in [
            r#"[{"_placeholder":true,"num":2}]"#,
            r#"[{"_placeholder":true,"num":-1}]"#,
            r#"[{"_placeholder":true,"num":1.5}]"#,
            r#"[{"_placeholder":true,"num":"0"}]"#,
            r#"[{"_placeholder":true,"num":null}]"#,
            r#"[{"_placeholder":true}]"#,
            r#"[{"_placeholder":true,"num":0},{"a":[{"_placeholder":true,"num":0}]}]"#,
            // Clients take these for placeholders, too.
            r#"[{"_placeholder":true,"num":7,"more":1}]"#,
            r#"[{"_placeholder":true,"num":0,"num":7}]"#,
            r#"[{"_placeholder":false,"_placeholder":true,"num":7}]"#,
        ] {
            let error = filled(text, 2).expect_err(text);
            assert_eq!(error.code(), crate::error::Code::BadRequest);
        }
        let many = vec![r#"{"_placeholder":true,"num":0}"#; 1_000].join(",");
        assert!(filled(&format!("[{many}]"), 1).is_err());
    }

    #[test]
    fn without_attachments_an_event_passes_as_it_is() {
        let text = r#"[{"_placeholder":true,"num":0}, 1.0]"#;
        let values: Vec<&RawValue> = serde_json::from_str(text).unwrap();
        let filled = Filled::new(&values, None).unwrap();
        let passed = serde_json::to_string(&filled).unwrap();
        assert_eq!(passed, r#"[{"_placeholder":true,"num":0},1.0]"#);
    }

    #[test]
    fn a_placeholder_is_found_however_its_name_is_written() {
        for text in [
            r#"{"_placeholder":true,"num":0}"#,
            r#"[{"a\u00e4":1,"b":{"\u005fplaceholder":true,"num":0}}]"#,
            r#"{"num":0,"_placeh\u006flder":true}"#,
            r#"["say \"hi\" \u00e4",{"_pl\u0061ceholder":true,"num":0}]"#,
        ] {
            assert!(may_hold_placeholder(text), "{text}");
        }
        for text in ["1", r#"{"a":"\u00e4\u00f6"}"#, r#""\\u005fplaceholder""#] {
            assert!(!may_hold_placeholder(text), "{text}");
        }
    }
}
