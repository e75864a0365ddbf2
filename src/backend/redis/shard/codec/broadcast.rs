//! How an application's events are published: a line of JSON, then the event's text and its attachments, one behind the other.

use std::{str, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    backend::BusEvent,
    model::{Audience, Broadcast, EventPayload, NodeId, RoomKey, RoomName},
};

#[derive(Serialize, Deserialize)]
struct Head {
    /// The node that sent it.
    node: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rooms: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    except_rooms: Vec<String>,
    /// Bytes of the text, then of each attachment.
    bytes: Vec<usize>,
}

/// Appends an encoded broadcast to a payload.
pub(super) fn encode(broadcast: &Broadcast, node: NodeId, encoded: &mut Vec<u8>) {
    let names = |rooms: &[RoomName]| rooms.iter().map(ToString::to_string).collect();
    let (rooms, connection) = match &broadcast.to {
        Audience::Everybody => (Vec::new(), None),
        Audience::Rooms(rooms) => (names(rooms), None),
        Audience::Connection(id) => (Vec::new(), Some(id.to_string())),
    };
    let event = &broadcast.event;
    let attached = event.attachments.iter().map(Bytes::len);
    let head = Head {
        node: node.to_string(),
        rooms,
        connection,
        except: broadcast.except.iter().map(ToString::to_string).collect(),
        except_rooms: names(&broadcast.except_rooms),
        bytes: std::iter::once(event.text.len()).chain(attached).collect(),
    };
    serde_json::to_writer(&mut *encoded, &head).expect("strings and numbers always serialize");
    encoded.push(b'\n');
    encoded.extend_from_slice(event.text.as_bytes());
    for attachment in &event.attachments {
        encoded.extend_from_slice(attachment);
    }
}

/// Decodes a broadcast that came on the channel of `room`, and the node that sent it; `None` if it is malformed.
pub(super) fn decode(room: &RoomKey, encoded: &[u8]) -> Option<(BusEvent, NodeId)> {
    let end = encoded.iter().position(|byte| *byte == b'\n')?;
    let head: Head = serde_json::from_slice(&encoded[..end]).ok()?;
    let mut rest = Bytes::copy_from_slice(&encoded[end + 1..]);
    let mut parts = head.bytes.iter().map(|bytes| {
        let whole = *bytes <= rest.len();
        whole.then(|| rest.split_to(*bytes))
    });
    let text = parts.next()??;
    let attachments = parts.collect::<Option<Vec<Bytes>>>()?;
    let names = |rooms: &[String]| rooms.iter().map(|room| RoomName::from_log(room)).collect();
    let to = match (&head.connection, head.rooms.is_empty()) {
        (Some(id), _) => Audience::Connection(id.parse().ok()?),
        (None, true) => Audience::Everybody,
        (None, false) => Audience::Rooms(names(&head.rooms)),
    };
    let except = head.except.iter().map(|id| id.parse().ok());
    let broadcast = Broadcast {
        namespace: room.namespace.clone(),
        to,
        except: except.collect::<Option<_>>()?,
        except_rooms: names(&head.except_rooms),
        event: EventPayload {
            text: str::from_utf8(&text).ok()?.into(),
            attachments,
        },
    };
    let event = BusEvent::Broadcast(Arc::new(broadcast));
    Some((event, head.node.parse().ok()?))
}

#[cfg(test)]
mod tests;
