//! Relaying: configured events are passed on unchanged to the other sockets of the sender's rooms.
//!
//! A front end written against a hand-made server that only broadcasts needs no change. Relayed events are not stored and not
//! numbered. They have their place in the order of the connection's events, and among the messages of their rooms. They have no more
//! bytes than came in: the JSON passes unchanged, and each attachment once.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    event_packet::{EventArguments, EventPacket},
    placeholders::check_placeholders,
};
use crate::{
    auth::Permission,
    error::{Code, Error, Limit, Result},
    events::RelayMode,
    hub::{Connection, Hub, RelayedEvent},
    model::{Audience, Broadcast, EventPayload},
};

/// Maximum binary attachments that stock clients accept in one event; with more they close their connection, and some exit.
pub(crate) const MAX_RELAYED_ATTACHMENTS: usize = 10;

/// Passes an event on. A sender that is in no room sends to the whole namespace.
///
/// # Errors
/// `too_large` for too many bytes or attachments, `bad_request` for wrong placeholders, `forbidden` if the sender may not
/// publish to any of its rooms, and the refusal of a room's policy if no room takes it.
pub(super) async fn relay(
    hub: &Hub,
    connection: &Connection,
    arguments: &EventArguments<'_>,
    packet: &EventPacket,
    mode: RelayMode,
) -> Result<()> {
    check_size(arguments, packet, hub.limits().message_bytes.bytes())?;
    if let Some(attachments) = &packet.attachments {
        check_placeholders(arguments.values(), attachments)?;
    }
    let except = match mode.to_sender {
        true => Vec::new(),
        false => vec![connection.id()],
    };
    let broadcast = Broadcast {
        namespace: connection.namespace().clone(),
        to: audience(hub, connection, (arguments, packet))?,
        except,
        except_rooms: Vec::new(),
        event: EventPayload {
            text: packet.text.trim_ascii().into(),
            attachments: packet.attachments.iter().flatten().cloned().collect(),
        },
    };
    hub.broadcast(broadcast).await
}

/// The rooms that the connection is in and may send the event to, or everybody.
fn audience(
    hub: &Hub,
    connection: &Connection,
    (arguments, packet): (&EventArguments<'_>, &EventPacket),
) -> Result<Audience> {
    let principal = connection.principal();
    let mut rooms = connection.rooms();
    rooms.retain(|room| !room.is_personal());
    let everywhere = rooms.is_empty();
    rooms.retain(|room| principal.may(Permission::Publish, room));
    let attachments = packet.attachments.iter().flatten().map(Bytes::len);
    let relayed = RelayedEvent {
        event: &arguments.event,
        data: arguments.values().first().copied(),
        bytes: argument_bytes(arguments) + attachments.sum::<usize>(),
        has_attachments: packet.attachments.is_some(),
    };
    if everywhere && principal.grants.allow_everywhere(Permission::Publish) {
        hub.check_relay_to_everybody(&relayed)?;
        return Ok(Audience::Everybody);
    }
    let mut refusal = Error::forbidden("this identity may not send to any of its rooms");
    rooms.retain(|room| {
        let checked = hub.check_relay(connection, room, &relayed);
        checked.map_err(|error| refusal = error).is_ok()
    });
    match rooms.is_empty() {
        true => Err(refusal),
        false => Ok(Audience::Rooms(rooms)),
    }
}

/// Bytes that a relayed event may have besides its arguments: its name, and what separates the arguments.
const ENVELOPE_BYTES: usize = 2048;

fn argument_bytes(arguments: &EventArguments<'_>) -> usize {
    let values = arguments.values().iter();
    values.map(|value| value.get().len()).sum()
}

fn check_size(arguments: &EventArguments<'_>, packet: &EventPacket, limit: usize) -> Result<()> {
    // The text is passed on with its white space.
    let written = packet.text.len();
    if written > limit
        && (argument_bytes(arguments) > limit || written > limit.saturating_add(ENVELOPE_BYTES))
    {
        let message = format!("a relayed event may have {limit} bytes of JSON");
        return Err(Error::new(Code::TooLarge, message).for_limit(Limit::MessageBytes));
    }
    let attachments = packet.attachments.as_ref().map_or(0, VecDeque::len);
    if attachments > MAX_RELAYED_ATTACHMENTS {
        let message = format!(
            "a relayed event may have {MAX_RELAYED_ATTACHMENTS} binary attachments, this one has {attachments}: clients take no more"
        );
        return Err(Error::new(Code::TooLarge, message));
    }
    Ok(())
}
