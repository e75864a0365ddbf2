//! Arguments of events and acks as Socket.IO encodes them: a JSON array with placeholders for bytes, and the bytes.
//!
//! A tuple is several arguments, anything else is one; `()` is none. `bytes::Bytes`, and what else serializes as bytes, is an
//! attachment wherever it is.

use std::{any::TypeId, collections::VecDeque};

use bytes::Bytes;
use engineioxide::Str;
use serde::{
    Serialize,
    de::{DeserializeOwned, value::UnitDeserializer},
};
use socketioxide_core::{Value, parser::Parse};
use socketioxide_parser_common::CommonParser;

use super::HandlerError;
use crate::{
    error::{Code, Error, Result},
    model::EventPayload,
};

/// Decodes the arguments of an event, `["name", argument…]`.
///
/// # Errors
/// `bad_request` if they are no `T`.
pub(super) fn decode<T: DeserializeOwned + 'static>(
    text: &Str,
    attachments: Option<&VecDeque<Bytes>>,
    arguments: usize,
) -> Result<T> {
    // A missing argument is undefined in JavaScript: nothing, or an option without a value.
    if TypeId::of::<T>() == TypeId::of::<()>() || arguments == 0 {
        let nothing = UnitDeserializer::<serde::de::value::Error>::new();
        if let Ok(nothing) = T::deserialize(nothing) {
            return Ok(nothing);
        }
    }
    let mut value = Value::Str(text.clone(), attachments.cloned());
    CommonParser
        .decode_value(&mut value, true)
        .map_err(|error| Error::bad_request(format!("the arguments do not fit: {error}")))
}

/// Encodes an event.
///
/// # Errors
/// `internal` if the data cannot be encoded.
pub(super) fn encode_event<T: Serialize + ?Sized>(event: &str, data: &T) -> Result<EventPayload> {
    encode(data, Some(event))
}

/// Encodes the arguments of an ack.
///
/// # Errors
/// `internal` if they cannot be encoded.
pub(super) fn encode_ack<T: Serialize + ?Sized>(data: &T) -> Result<EventPayload> {
    encode(data, None)
}

/// Encodes the ack of an event that succeeded: an object gets `ok: true`, anything else is sent as it is.
///
/// # Errors
/// `internal` if the reply cannot be encoded.
pub(in crate::transport::socketio) fn encode_ok<T: Serialize + ?Sized>(
    reply: &T,
) -> Result<EventPayload> {
    let EventPayload { text, attachments } = encode(&(reply,), None)?;
    let text = match text.strip_prefix("[{") {
        Some("}]") => r#"[{"ok":true}]"#.into(),
        Some(fields) => format!(r#"[{{"ok":true,{fields}"#).into(),
        None if &*text == "[null]" => r#"[{"ok":true}]"#.into(),
        None => text,
    };
    Ok(EventPayload { text, attachments })
}

fn encode<T: Serialize + ?Sized>(data: &T, event: Option<&str>) -> Result<EventPayload> {
    let encoded = CommonParser.encode_value(data, event);
    let encoded = encoded.map_err(|error| {
        Error::new(Code::Internal, "the arguments cannot be encoded").caused_by(error)
    })?;
    let Value::Str(text, attachments) = encoded else {
        return Err(Error::new(
            Code::Internal,
            "the arguments cannot be encoded",
        ));
    };
    Ok(EventPayload {
        text: text.as_str().into(),
        attachments: attachments.unwrap_or_default().into(),
    })
}

impl HandlerError {
    /// The ack of an event that failed.
    pub(super) fn encode(&self) -> EventPayload {
        #[derive(Serialize)]
        struct Failed<'a> {
            ok: bool,
            error: &'a HandlerError,
        }
        let failed = Failed {
            ok: false,
            error: self,
        };
        encode(&(failed,), None).unwrap_or_else(|_| EventPayload {
            text: r#"[{"ok":false}]"#.into(),
            attachments: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests;
