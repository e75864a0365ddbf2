//! The answers to servers of Socket.IO for Node, in JSON.

use serde::Serialize;
use serde_json::{json, value::RawValue};

use super::command::RequestId;
use crate::{
    hub::{Connection, STATE_BYTES},
    model::{ConnectionId, RoomName},
    retry::log_rarely,
};

/// Bytes of an answer: what does not fit is left out, so that the server gets one in time.
const MAX_BYTES: usize = 8 << 20;

/// The types of answers.
const SERVER_SIDE_EMIT: u8 = 6;
const CLIENT_COUNT: u8 = 8;
const CLIENT_ACK: u8 = 9;

/// The answer that something is done.
pub(super) fn done(id: &RequestId) -> Vec<u8> {
    encode(&json!({ "requestId": id.0 }))
}

/// The ids of sockets.
pub(super) fn ids(id: &RequestId, sockets: impl Iterator<Item = ConnectionId>) -> Vec<u8> {
    list(id, "sockets", sockets.map(|id| json!(id)))
}

/// What is known of sockets.
pub(super) fn sockets<'a>(
    id: &RequestId,
    sockets: impl Iterator<Item = &'a Connection>,
) -> Vec<u8> {
    list(id, "sockets", sockets.map(describe))
}

/// Names of rooms, and of the rooms that sockets are for themselves.
pub(super) fn rooms(
    id: &RequestId,
    rooms: impl Iterator<Item = RoomName>,
    sockets: impl Iterator<Item = ConnectionId>,
) -> Vec<u8> {
    let names = rooms.map(|room| json!(room));
    list(id, "rooms", names.chain(sockets.map(|id| json!(id))))
}

/// The answer to an event between servers: nothing was done with it.
pub(super) fn server_event(id: &RequestId) -> Vec<u8> {
    encode(&json!({ "type": SERVER_SIDE_EMIT, "requestId": id.0, "data": null }))
}

/// How many clients have been sent an event and asked for an ack.
pub(super) fn client_count(id: &RequestId, count: usize) -> Vec<u8> {
    encode(&json!({ "type": CLIENT_COUNT, "requestId": id.0, "clientCount": count }))
}

/// The ack of a client: a server takes its first value.
pub(super) fn client_ack(id: &RequestId, value: Option<&RawValue>) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Ack<'a> {
        r#type: u8,
        request_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        packet: Option<&'a RawValue>,
    }
    encode(&Ack {
        r#type: CLIENT_ACK,
        request_id: &id.0,
        packet: value,
    })
}

/// A socket as Node's `RemoteSocket` shows it. Its `data` is what an application keeps with a connection, or else its user.
fn describe(connection: &Connection) -> serde_json::Value {
    let id = connection.id();
    let mut rooms = vec![json!(id)];
    rooms.extend(connection.rooms().iter().map(|room| json!(room)));
    let issued = connection.connected_at();
    json!({
        "id": id,
        "handshake": {
            "headers": {},
            "time": issued.to_iso(),
            "address": "",
            "xdomain": false,
            "secure": false,
            "issued": issued.0,
            "url": "",
            "query": {},
            "auth": {},
        },
        "rooms": rooms,
        "data": connection.shown_data(STATE_BYTES),
    })
}

fn list(id: &RequestId, name: &str, items: impl Iterator<Item = serde_json::Value>) -> Vec<u8> {
    let id = encode(&id.0);
    let mut text = format!(
        r#"{{"requestId":{},"{name}":["#,
        String::from_utf8_lossy(&id)
    );
    let begin = text.len();
    for item in items {
        let item = item.to_string();
        if text.len() + item.len() > MAX_BYTES {
            log_rarely!(
                warn,
                limit = MAX_BYTES,
                "an answer to a server of another system is too long; left out the rest"
            );
            break;
        }
        if text.len() > begin {
            text.push(',');
        }
        text.push_str(&item);
    }
    text.push_str("]}");
    text.into_bytes()
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings, numbers and raw JSON always serialize")
}

#[cfg(test)]
mod tests;
