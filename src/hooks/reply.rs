//! What an endpoint replies. A reply is read to its end and checked before anything of it is done: one that is wrong anywhere does
//! nothing. The order of its keys is kept, since it says whether the ack goes before the actions.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

mod actions;
mod connect;
mod event;

pub(crate) use actions::{Action, EmitTarget, read_emit};
pub(crate) use connect::ConnectReply;
pub(crate) use event::EventReply;

use crate::{
    error::{Code, Error},
    hooks::failure::Refused,
    limits::{STATE_BYTES, exceeds_depth},
};

/// What an endpoint has said.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// Its reply.
    Reply(T),
    /// It refuses what it was asked.
    Denied(Error),
}

/// A reply of one type.
pub(super) trait Reply: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, for the log.
    fn read(object: &Object<'_>) -> Result<Self, String>;
}

/// The reply to `join`: none but that it permits.
#[derive(Debug)]
pub(crate) struct JoinReply;

/// The reply to `publish`.
#[derive(Debug)]
pub(crate) struct PublishReply {
    /// What replaces the message's data.
    pub(crate) data: Option<Box<RawValue>>,
}

impl Reply for JoinReply {
    fn read(_: &Object<'_>) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Reply for PublishReply {
    fn read(object: &Object<'_>) -> Result<Self, String> {
        // A `null` is data like any other.
        let data = object.0.iter().find(|(key, _)| key == "data");
        let data = data.map(|(_, data)| (*data).to_owned());
        Ok(Self { data })
    }
}

/// Levels of arrays and objects in a reply.
const MAX_DEPTH: usize = 128;
/// Bytes of a refusal's code and message.
const MAX_CODE_BYTES: usize = 64;
const MAX_MESSAGE_BYTES: usize = 1024;

/// Reads a response of status 200 or 403.
///
/// # Errors
/// What is wrong with it, for the log.
pub(super) fn read<T: Reply>(status: u16, body: &[u8]) -> Result<Answer<T>, String> {
    if status == 403 {
        return Ok(Answer::Denied(refusal(body)));
    }
    let text = std::str::from_utf8(body).map_err(|_| "the reply is not UTF-8".to_owned())?;
    if text.trim_ascii().is_empty() {
        return Err("the reply is empty; {} is the least".to_owned());
    }
    if exceeds_depth(text, MAX_DEPTH) {
        return Err(format!(
            "the reply nests more than {MAX_DEPTH} arrays and objects"
        ));
    }
    let object = Object::read(text)?;
    if let Some(deny) = object.get("deny") {
        let deny: Deny = read_value("deny", deny)?;
        return Ok(Answer::Denied(deny.into_error()?));
    }
    T::read(&object).map(Answer::Reply)
}

/// `{ "code"?, "message" }`.
#[derive(Deserialize)]
struct Deny {
    code: Option<String>,
    message: String,
}

impl Deny {
    fn into_error(self) -> Result<Error, String> {
        let code = self
            .code
            .unwrap_or_else(|| Code::Forbidden.as_str().to_owned());
        if code.is_empty() || code.len() > MAX_CODE_BYTES || code.chars().any(char::is_control) {
            return Err(format!(
                "deny.code has 1 to {MAX_CODE_BYTES} bytes without control characters"
            ));
        }
        let end = self.message.floor_char_boundary(MAX_MESSAGE_BYTES);
        Ok(Error::denied(&code, self.message[..end].to_owned()).caused_by(Refused))
    }
}

/// The refusal that a response of status 403 is: its body says why, or nothing.
fn refusal(body: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Refusal {
        deny: Deny,
    }
    let deny = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.deny);
    let deny = deny.or_else(|_| serde_json::from_slice::<Deny>(body));
    let error = deny.ok().and_then(|deny| deny.into_error().ok());
    error.unwrap_or_else(|| Error::forbidden("the application refuses this").caused_by(Refused))
}

/// A JSON object with its keys in order.
pub(super) struct Object<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// It is none, or has a key twice.
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("the reply is no JSON object: {error}"))
    }

    /// The value of a key that is not `null`.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.position(key).map(|at| self.0[at].1)
    }

    /// The place of a key whose value is not `null`.
    pub(super) fn position(&self, key: &str) -> Option<usize> {
        let mut entries = self.0.iter();
        entries.position(|(name, value)| name == key && value.get() != "null")
    }
}

/// Keys of one object; more are no reply of anybody's.
const MAX_KEYS: usize = 64;

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries: Vec<(String, &RawValue)> = Vec::new();
                while let Some((key, value)) = map.next_entry()? {
                    if entries.len() == MAX_KEYS {
                        return Err(A::Error::custom("it has too many keys"));
                    }
                    if entries.iter().any(|(other, _)| *other == key) {
                        return Err(A::Error::custom("it has a key twice"));
                    }
                    entries.push((key, value));
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Checks a state that a connection is to have.
fn check_state(state: &RawValue) -> Result<(), String> {
    if !state.get().starts_with('{') {
        return Err("state is no object".to_owned());
    }
    match state.get().len() {
        0..=STATE_BYTES => Ok(()),
        bytes => Err(format!(
            "state has {bytes} bytes; at most {STATE_BYTES} are kept"
        )),
    }
}

/// Reads the value of a key.
fn read_value<'a, T: Deserialize<'a>>(key: &str, value: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(value.get()).map_err(|error| format!("{key}: {error}"))
}

#[cfg(test)]
mod tests;
