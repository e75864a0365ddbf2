//! Messages of python-socketio's managers: JSON since version 5.14, and pickles before, which are never read.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Refusal,
    command::Command,
    event::EventLimits,
    names::{Name, Names, rooms, socket_set},
};
use crate::model::Namespace;

/// What every pickle since 2003 begins with.
const PICKLE: u8 = 0x80;

/// A message; which of the fields it has depends on its method.
#[derive(Deserialize)]
struct Message<'a> {
    method: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    event: Option<String>,
    /// The arguments; with attachments, these and the attachments.
    #[serde(default, borrow)]
    data: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    binary: Option<bool>,
    #[serde(default)]
    room: Names,
    #[serde(default)]
    skip_sid: Names,
    #[serde(default)]
    sid: Option<Name>,
}

/// Reads a message.
///
/// # Errors
/// It is not one, or its event is not one that clients can take.
pub(super) fn read(message: &[u8], limits: &EventLimits) -> Result<Command, Refusal> {
    if message.first() == Some(&PICKLE) {
        return Err(Refusal::Pickle);
    }
    let text = limits.check_json(message)?;
    let message: Message<'_> = serde_json::from_str(text).map_err(|_| Refusal::Malformed)?;
    let namespace = match &message.namespace {
        Some(namespace) => Namespace::parse(namespace).map_err(|_| Refusal::Malformed)?,
        None => Namespace::root(),
    };
    let socket = || {
        let sid = message.sid.clone().ok_or(Refusal::Malformed)?;
        socket_set(&namespace, &[sid], &[])
    };
    match message.method.as_str() {
        "emit" => emit(&namespace, message, limits),
        "disconnect" => Ok(Command::Disconnect(socket()?, None)),
        "enter_room" => Ok(Command::Join(socket()?, named(message.room)?, None)),
        "leave_room" => Ok(Command::Leave(socket()?, named(message.room)?, None)),
        "close_room" => {
            let names = message.room.into_vec();
            if names.is_empty() {
                return Err(Refusal::Malformed);
            }
            let members = socket_set(&namespace, &names, &[])?;
            Ok(Command::Leave(members, rooms(&names)?, None))
        }
        // The reply to an event that a server has sent to one of its own clients.
        "callback" => Ok(Command::Ignore),
        _ => Err(Refusal::Unknown),
    }
}

fn named(room: Names) -> Result<Vec<crate::model::RoomName>, Refusal> {
    let names = room.into_vec();
    match names.is_empty() {
        true => Err(Refusal::Malformed),
        false => rooms(&names),
    }
}

fn emit(
    namespace: &Namespace,
    message: Message<'_>,
    limits: &EventLimits,
) -> Result<Command, Refusal> {
    let name = message.event.ok_or(Refusal::Malformed)?;
    let name = to_raw_value(&name).map_err(|_| Refusal::Malformed)?;
    let data = message.data.unwrap_or_default();
    let (arguments, attachments) = match message.binary {
        Some(true) => split_attachments(&data)?,
        _ => (data, Vec::new()),
    };
    let mut array = vec![&*name];
    // An event without data is published as one with None.
    if arguments.len() != 1 || arguments[0].get() != "null" {
        array.extend(arguments);
    }
    let array = to_raw_value(&array).map_err(|_| Refusal::Malformed)?;
    let event = limits.event(&array, attachments)?;
    let (of, except) = (message.room.into_vec(), message.skip_sid.into_vec());
    Ok(Command::Emit(socket_set(namespace, &of, &except)?, event))
}

/// The arguments with their placeholders, and the attachments, which are Base64.
fn split_attachments<'a>(
    data: &[&'a RawValue],
) -> Result<(Vec<&'a RawValue>, Vec<Bytes>), Refusal> {
    let [arguments, attachments @ ..] = data else {
        return Err(Refusal::Malformed);
    };
    let arguments = serde_json::from_str(arguments.get()).map_err(|_| Refusal::Malformed)?;
    let decode = |text: &&RawValue| {
        let text: String = serde_json::from_str(text.get()).ok()?;
        STANDARD.decode(text).ok().map(Bytes::from)
    };
    let attachments: Option<_> = attachments.iter().map(decode).collect();
    Ok((arguments, attachments.ok_or(Refusal::Malformed)?))
}

#[cfg(test)]
mod tests;
