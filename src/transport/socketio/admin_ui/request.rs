//! What an operator asks for in the Admin UI.

use serde_json::value::{RawValue, to_raw_value};

use crate::{
    error::{Error, Result},
    events::check_name,
    hub::{SocketChange, SocketName, SocketSet},
    model::{Audience, Broadcast, EventPayload, Namespace, RoomName},
};

/// A request of an operator.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OperatorRequest {
    /// Emit an event.
    Emit(Broadcast),
    /// Change sockets.
    Change(SocketSet, SocketChange),
}

impl OperatorRequest {
    /// Reads an event of the Admin UI: `emit(namespace, filter, event, ...args)`, `join` and `leave(namespace, room, filter)`,
    /// `_disconnect(namespace, close, filter)`. The filter is a room or a socket's id; without one all of the namespace are meant.
    ///
    /// # Errors
    /// `bad_request` if it is none of these, or an argument is wrong.
    pub(super) fn parse(event: &str, arguments: &[&RawValue]) -> Result<Self> {
        let argument = |nth: usize| arguments.get(nth).copied();
        let namespace = Namespace::parse(&text(argument(0), "a namespace")?)?;
        Ok(match event {
            "emit" => {
                let (to, elements) = (argument(1), arguments.get(2..).unwrap_or_default());
                Self::Emit(broadcast(namespace, to, elements)?)
            }
            "join" | "leave" => {
                let room = RoomName::parse(&text(argument(1), "a room")?)?;
                let change = match event {
                    "join" => SocketChange::Join(room),
                    _ => SocketChange::Leave(room),
                };
                Self::Change(socket_set(namespace, argument(2))?, change)
            }
            // Whether the transport is to be closed, too, makes no difference: a client does not come back by itself.
            "_disconnect" => {
                let sockets = socket_set(namespace, argument(2))?;
                Self::Change(sockets, SocketChange::Disconnect)
            }
            _ => return Err(Error::bad_request("operators cannot ask for this")),
        })
    }

    /// Where it is to be done.
    pub(super) fn namespace(&self) -> &Namespace {
        match self {
            Self::Emit(broadcast) => &broadcast.namespace,
            Self::Change(sockets, _) => &sockets.namespace,
        }
    }
}

fn text(argument: Option<&RawValue>, expected: &str) -> Result<String> {
    let text = argument.and_then(|argument| serde_json::from_str(argument.get()).ok());
    text.ok_or_else(|| Error::bad_request(format!("expected {expected}")))
}

/// What a filter names; `None`: everybody.
fn filter(argument: Option<&RawValue>) -> Result<Option<SocketName>> {
    let Some(argument) = argument.filter(|argument| argument.get() != "null") else {
        return Ok(None);
    };
    let name = text(Some(argument), "a room, or the id of a socket")?;
    if name.is_empty() {
        return Ok(None);
    }
    let unknown = || Error::bad_request("this is neither a room nor the id of a socket");
    SocketName::parse(&name).map(Some).ok_or_else(unknown)
}

fn socket_set(namespace: Namespace, of: Option<&RawValue>) -> Result<SocketSet> {
    Ok(SocketSet {
        namespace,
        of: filter(of)?.map(|name| vec![name]),
        except: Vec::new(),
    })
}

fn broadcast(
    namespace: Namespace,
    to: Option<&RawValue>,
    elements: &[&RawValue],
) -> Result<Broadcast> {
    check_name(&text(elements.first().copied(), "the name of an event")?)?;
    let elements = to_raw_value(elements)
        .map_err(|error| Error::bad_request("the event cannot be encoded").caused_by(error))?;
    Ok(Broadcast {
        namespace,
        to: match filter(to)? {
            None => Audience::Everybody,
            Some(SocketName::Room(room)) => Audience::Rooms(vec![room]),
            Some(SocketName::Connection(id)) => Audience::Connection(id),
        },
        except: Vec::new(),
        except_rooms: Vec::new(),
        event: EventPayload {
            text: elements.get().into(),
            attachments: Vec::new(),
        },
    })
}

#[cfg(test)]
mod tests;
