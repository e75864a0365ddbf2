//! Arguments of events and acks as Socket.IO encodes them: a JSON array with placeholders for bytes, and the bytes.
//!
//! A tuple is several arguments, and so is an array of fixed length, which serde takes for one. `()` is none, and anything else is one.
//! `bytes::Bytes`, and what else serializes as bytes, is an attachment wherever it is.

mod form;

use std::io;

use bytes::Bytes;
use serde::Serialize;
use serde_json::ser::Formatter;

use super::HandlerError;
use crate::{
    error::{Code, Error, Result},
    model::EventPayload,
};
use form::Form;

/// Encodes an event.
///
/// # Errors
/// `internal` if the data cannot be encoded.
pub(crate) fn encode_event<T: Serialize + ?Sized>(event: &str, data: &T) -> Result<EventPayload> {
    encode(data, Some(event))
}

/// Encodes the arguments of an ack.
///
/// # Errors
/// `internal` if they cannot be encoded.
pub(crate) fn encode_ack<T: Serialize + ?Sized>(data: &T) -> Result<EventPayload> {
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
    Ok(match text.strip_prefix("[{") {
        Some("}]") => EventPayload::ok(),
        Some(fields) => EventPayload {
            text: format!(r#"[{{"ok":true,{fields}"#).into(),
            attachments,
        },
        None if &*text == "[null]" => EventPayload::ok(),
        None => EventPayload { text, attachments },
    })
}

fn encode<T: Serialize + ?Sized>(data: &T, event: Option<&str>) -> Result<EventPayload> {
    let failed = |error: serde_json::Error| {
        Error::new(Code::Internal, "the arguments cannot be encoded").caused_by(error)
    };
    let (arguments, attachments) = encode_arguments(data).map_err(failed)?;
    let Some(event) = event else {
        return Ok(EventPayload {
            text: arguments.into(),
            attachments,
        });
    };
    let mut text = String::with_capacity(event.len() + arguments.len() + 4);
    text.push('[');
    text += &serde_json::to_string(event).map_err(failed)?;
    if arguments != "[]" {
        text.push(',');
    }
    text += &arguments[1..];
    Ok(EventPayload {
        text: text.into(),
        attachments,
    })
}

/// The array of arguments that a value is, and its attachments.
fn encode_arguments<T: Serialize + ?Sized>(data: &T) -> serde_json::Result<(String, Vec<Bytes>)> {
    let (mut text, mut attachments) = (Vec::new(), Vec::new());
    let formatter = WithPlaceholders(&mut attachments);
    data.serialize(&mut serde_json::Serializer::with_formatter(
        &mut text, formatter,
    ))?;
    let text = String::from_utf8(text).map_err(serde::ser::Error::custom)?;
    let arguments = match Form::of(data) {
        Form::Nothing => "[]".to_owned(),
        Form::Tuple => text,
        Form::Single => format!("[{text}]"),
    };
    Ok((arguments, attachments))
}

/// Writes JSON with a placeholder for each value that is bytes, wherever it is. (socketioxide's own encoder writes those in an
/// `Option` or a struct around a single value as arrays of numbers.)
struct WithPlaceholders<'a>(&'a mut Vec<Bytes>);

impl Formatter for WithPlaceholders<'_> {
    fn write_byte_array<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        bytes: &[u8],
    ) -> io::Result<()> {
        let number = self.0.len();
        self.0.push(Bytes::copy_from_slice(bytes));
        write!(writer, r#"{{"_placeholder":true,"num":{number}}}"#)
    }
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
