//! What a reply does: `do`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Object, read_value};
use crate::{
    events::check_name,
    hooks::binary::to_payload,
    model::{EventName, EventPayload, MessageId, RoomName, UserId},
};

/// One thing that a reply does.
#[derive(Debug)]
pub(crate) enum Action {
    /// Makes the caller a member of a room.
    Join(RoomName),
    /// Ends the caller's membership.
    Leave(RoomName),
    /// Emits an event that is not stored.
    Emit {
        /// Its name and arguments.
        event: EventPayload,
        /// Who receives it.
        to: EmitTarget,
        /// Except for the caller.
        except_caller: bool,
    },
    /// Publishes a message, which is stored.
    Publish {
        /// The room.
        room: RoomName,
        /// The event's name.
        event: EventName,
        /// Its data.
        data: Arc<RawValue>,
        /// Its id.
        id: Option<MessageId>,
    },
    /// Disconnects the caller, who does not reconnect by itself.
    Disconnect(String),
}

/// Who receives an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EmitTarget {
    /// The caller.
    Caller,
    /// The members of a room.
    Room(RoomName),
    /// All connections of a user.
    User(UserId),
    /// Everybody in the namespace.
    All,
}

/// Most actions of one reply.
const MAX_ACTIONS: usize = 100;
/// Bytes of the reason of a disconnect.
const MAX_REASON_BYTES: usize = 256;

/// Reads the actions of a reply.
///
/// # Errors
/// What is wrong with the first that is wrong.
pub(super) fn read(list: &[&RawValue]) -> Result<Vec<Action>, String> {
    if list.len() > MAX_ACTIONS {
        return Err(format!(
            "do has {} actions; at most {MAX_ACTIONS} are done",
            list.len()
        ));
    }
    let read = |(index, action): (usize, &&RawValue)| {
        Action::read(action).map_err(|wrong| format!("do[{index}]: {wrong}"))
    };
    list.iter().enumerate().map(read).collect()
}

/// The keys that say what an action is.
const KINDS: [&str; 5] = ["join", "leave", "emit", "publish", "disconnect"];

impl Action {
    fn read(action: &RawValue) -> Result<Self, String> {
        let object = Object::read(action.get())?;
        let mut kinds = KINDS
            .into_iter()
            .filter_map(|kind| Some((kind, object.get(kind)?)));
        let (Some((kind, value)), None) = (kinds.next(), kinds.next()) else {
            return Err(format!("expected one of {}", KINDS.join(", ")));
        };
        match kind {
            "join" => read_value(kind, value).map(Self::Join),
            "leave" => read_value(kind, value).map(Self::Leave),
            "emit" => emit(value, &object),
            "publish" => publish(value),
            _ => {
                let reason: String = read_value(kind, value)?;
                let end = reason.floor_char_boundary(MAX_REASON_BYTES);
                Ok(Self::Disconnect(reason[..end].to_owned()))
            }
        }
    }
}

/// Reads an event to emit, and to whom.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_emit(
    emit: &RawValue,
    to: &RawValue,
) -> Result<(EventPayload, EmitTarget), String> {
    Ok((payload(emit)?, target(to)?))
}

/// Reads the array of an event's name and its arguments.
fn payload(value: &RawValue) -> Result<EventPayload, String> {
    let elements: Vec<&RawValue> = read_value("emit", value)?;
    let name = elements.first().ok_or("emit is empty: expected a name")?;
    let name: String = read_value("emit: the name", name)?;
    check_name(&name).map_err(|error| format!("emit: {name:?}: {}", error.message()))?;
    to_payload(value.get()).map_err(|wrong| format!("emit: {wrong}"))
}

fn emit(value: &RawValue, object: &Object<'_>) -> Result<Action, String> {
    let event = payload(value)?;
    let to = match object.get("to") {
        Some(to) => target(to)?,
        None => EmitTarget::Caller,
    };
    let except = object.get("except");
    let except: Option<String> = except.map(|it| read_value("except", it)).transpose()?;
    if except.as_deref().is_some_and(|except| except != "caller") {
        return Err("except: expected \"caller\"".to_owned());
    }
    if except.is_some() && to == EmitTarget::Caller {
        return Err("except goes with to: nobody would receive the event".to_owned());
    }
    Ok(Action::Emit {
        event,
        to,
        except_caller: except.is_some(),
    })
}

fn target(to: &RawValue) -> Result<EmitTarget, String> {
    #[derive(Deserialize)]
    struct User {
        user: UserId,
    }
    match to.get() {
        r#""all""# => Ok(EmitTarget::All),
        text if text.starts_with('{') => {
            let User { user } = read_value("to", to)?;
            Ok(EmitTarget::User(user))
        }
        _ => read_value("to", to).map(EmitTarget::Room),
    }
}

fn publish(value: &RawValue) -> Result<Action, String> {
    #[derive(Deserialize)]
    struct Message<'a> {
        room: RoomName,
        event: Option<String>,
        #[serde(borrow)]
        data: &'a RawValue,
        id: Option<MessageId>,
    }
    let message: Message<'_> = read_value("publish", value)?;
    let event = match &message.event {
        None => EventName::message(),
        Some(name) => EventName::parse_sent(name)
            .map_err(|error| format!("publish: event: {}", error.message()))?,
    };
    Ok(Action::Publish {
        room: message.room,
        event,
        data: message.data.to_owned().into(),
        id: message.id,
    })
}
