//! Relaying: configured events are passed on as they are to the other sockets of the sender's rooms.
//!
//! A front end written against a hand-made server that only broadcasts needs no change. What is relayed is not stored
//! and not numbered. It goes through socketioxide's rooms, which mirror the hub's.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeTuple};
use serde_json::value::RawValue;

use super::{SocketRef, packet::Arguments, rooms::mirrored};
use crate::{
    auth::Permission,
    error::{Code, Error, Limit, Result},
    hub::Connection,
};

/// Binary attachments that stock clients take in one event; of more they end their connection, and some their process.
const ATTACHMENTS: usize = 10;

/// Passes an event on, with at most `most` bytes of JSON. The room of a sender that is in none is the namespace.
pub(super) async fn relay(
    socket: &SocketRef,
    connection: &Connection,
    arguments: &Arguments<'_>,
    attachments: Option<&VecDeque<Bytes>>,
    most: usize,
) -> Result<()> {
    let bytes: usize = arguments.values.iter().map(|value| value.get().len()).sum();
    if bytes > most {
        let message =
            format!("a relayed event may have {most} bytes of JSON, this one has {bytes}");
        return Err(Error::new(Code::TooLarge, message).for_limit(Limit::MessageBytes));
    }
    if let Some(count) = attachments
        .map(VecDeque::len)
        .filter(|count| *count > ATTACHMENTS)
    {
        return Err(Error::new(
            Code::TooLarge,
            format!(
                "a relayed event may have {ATTACHMENTS} binary attachments, this one has {count}: clients take no more"
            ),
        ));
    }
    let principal = connection.principal();
    let mut rooms = connection.rooms();
    rooms.retain(|room| !room.is_personal());
    let everywhere = rooms.is_empty();
    rooms.retain(|room| principal.may(Permission::Publish, room));
    let others = if everywhere && principal.grants.allow_everywhere(Permission::Publish) {
        socket.broadcast()
    } else if rooms.is_empty() {
        return Err(Error::forbidden(
            "this identity may not send to any of its rooms",
        ));
    } else {
        let rooms = rooms.iter().map(|room| mirrored(room).into_owned());
        let rooms: Vec<String> = rooms.collect();
        socket.to(rooms)
    };
    let event = Relayed {
        values: &arguments.values,
        attachments,
    };
    // A socket that has no place for it misses it, as with any event that is not kept.
    if let Err(error) = others.emit(&arguments.event, &event).await {
        tracing::debug!(%error, "a relayed event did not reach every socket");
    }
    Ok(())
}

/// Arguments with their attachments back in place of the placeholders.
struct Relayed<'a> {
    values: &'a [&'a RawValue],
    attachments: Option<&'a VecDeque<Bytes>>,
}

impl Serialize for Relayed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut arguments = serializer.serialize_tuple(self.values.len())?;
        for value in self.values {
            match self.attachments {
                Some(attachments) => arguments.serialize_element(&Filled { value, attachments })?,
                None => arguments.serialize_element(value)?,
            }
        }
        arguments.end()
    }
}

/// A value in which placeholders are replaced. What holds none passes byte for byte; what holds some is taken apart
/// one level at a time, so the depth of this is what the packet's check allowed.
struct Filled<'a> {
    value: &'a RawValue,
    attachments: &'a VecDeque<Bytes>,
}

/// What stands for an attachment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Placeholder {
    _placeholder: bool,
    num: usize,
}

impl<'a> Filled<'a> {
    fn attachment(&self) -> Option<&'a Bytes> {
        let found: Placeholder = serde_json::from_str(self.value.get()).ok()?;
        found
            ._placeholder
            .then(|| self.attachments.get(found.num))?
    }

    fn inner(&self, value: &'a RawValue) -> Self {
        Filled {
            value,
            attachments: self.attachments,
        }
    }
}

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.value.get();
        if !may_hold_placeholder(text) {
            return self.value.serialize(serializer);
        }
        if let Some(bytes) = self.attachment() {
            return serializer.serialize_bytes(bytes);
        }
        if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
            return serializer.collect_seq(items.into_iter().map(|item| self.inner(item)));
        }
        match serde_json::from_str::<Fields<'_>>(text) {
            Ok(Fields(fields)) => serializer.collect_map(
                fields
                    .into_iter()
                    .map(|(name, field)| (name, self.inner(field))),
            ),
            Err(_) => self.value.serialize(serializer),
        }
    }
}

/// Whether some string in a JSON text reads `_placeholder`, however it is written.
fn may_hold_placeholder(text: &str) -> bool {
    if text.contains("\"_placeholder\"") {
        return true;
    }
    let mut rest = text;
    while let Some(escape) = rest.find("\\u00") {
        // Of a string with such an escape in it, where it begins: what stands before holds no other escape of that kind.
        let begin = rest[..escape].rfind('"').unwrap_or(0);
        let mut strings = serde_json::Deserializer::from_str(&rest[begin..]).into_iter::<String>();
        if matches!(strings.next(), Some(Ok(name)) if name == "_placeholder") {
            return true;
        }
        rest = &rest[escape + 1..];
    }
    false
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
