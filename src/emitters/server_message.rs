//! Messages of emitters and servers of Socket.IO for Node: broadcasts, and requests to all servers.
//!
//! A broadcast is MessagePack, `[sender, packet, options]`. A request is JSON, or MessagePack if it has an event with arguments of its
//! clients. What is asked with `opts` is asked of all servers and not answered; what is asked of one socket, by `sid`, is answered by the
//! server that has it.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    Refusal,
    command::{Command, Query, RequestId},
    event::EventLimits,
    msgpack::{self, Transcoded},
    names::{Name, Names, rooms, socket_set},
};
use crate::{
    hub::SocketSet,
    model::{EventPayload, Namespace},
};

/// The types of packets that are events: without and with attachments.
const EVENT_PACKETS: [u8; 2] = [2, 5];

/// How long a request for acks waits, unless it says, and at most.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ACK_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the id of a request may be: it is sent back.
const MAX_REQUEST_ID: usize = 128;

#[derive(Deserialize)]
struct Packet<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    nsp: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    rooms: Names,
    except: Names,
    flags: Option<Flags>,
}

#[derive(Deserialize)]
struct Flags {
    /// Milliseconds.
    timeout: Option<f64>,
}

impl Options {
    fn within(&self) -> Duration {
        let millis = self.flags.as_ref().and_then(|flags| flags.timeout);
        let within = millis.and_then(|it| Duration::try_from_secs_f64(it / 1000.0).ok());
        within.unwrap_or(ACK_TIMEOUT).min(MAX_ACK_TIMEOUT)
    }

    fn socket_set(self, namespace: &Namespace) -> Result<SocketSet, Refusal> {
        socket_set(namespace, &self.rooms.into_vec(), &self.except.into_vec())
    }
}

/// A request; which of the fields it has depends on its type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    opts: Option<Options>,
    #[serde(default)]
    rooms: Names,
    #[serde(default)]
    sid: Option<Name>,
    #[serde(default)]
    room: Option<Name>,
    #[serde(default, borrow)]
    packet: Option<Packet<'a>>,
}

/// The types of requests.
mod kind {
    pub(super) const SOCKETS: u8 = 0;
    pub(super) const ALL_ROOMS: u8 = 1;
    pub(super) const REMOTE_JOIN: u8 = 2;
    pub(super) const REMOTE_LEAVE: u8 = 3;
    pub(super) const REMOTE_DISCONNECT: u8 = 4;
    pub(super) const REMOTE_FETCH: u8 = 5;
    pub(super) const SERVER_SIDE_EMIT: u8 = 6;
    pub(super) const BROADCAST: u8 = 7;
}

/// Reads a broadcast to a namespace.
///
/// # Errors
/// It is not one, or its event is not one that clients can take.
pub(super) fn broadcast(
    namespace: &Namespace,
    message: &[u8],
    limits: &EventLimits,
) -> Result<Command, Refusal> {
    let Transcoded { text, attachments } = transcode(message, limits)?;
    let (_, packet, options): (IgnoredAny, Packet<'_>, Option<Options>) =
        serde_json::from_str(&text).map_err(|_| Refusal::Malformed)?;
    let Some(event) = event(namespace, &packet, attachments, limits)? else {
        return Ok(Command::Ignore);
    };
    let to = options.unwrap_or_default().socket_set(namespace)?;
    Ok(Command::Emit(to, event))
}

/// Reads a request to the servers of a namespace.
///
/// # Errors
/// It is not one.
pub(super) fn request(
    namespace: &Namespace,
    message: &[u8],
    limits: &EventLimits,
) -> Result<Command, Refusal> {
    if message.first() == Some(&b'{') {
        let request = parse(limits.check_json(message)?)?;
        return command(namespace, request, Vec::new(), limits);
    }
    let Transcoded { text, attachments } = transcode(message, limits)?;
    command(namespace, parse(&text)?, attachments, limits)
}

fn parse(text: &str) -> Result<Request<'_>, Refusal> {
    serde_json::from_str(text).map_err(|_| Refusal::Malformed)
}

fn transcode(message: &[u8], limits: &EventLimits) -> Result<Transcoded, Refusal> {
    if message.len() > limits.message_bytes {
        return Err(Refusal::TooLarge);
    }
    msgpack::to_json(message, limits.depth, limits.message_bytes)
}

/// The event of a packet; `None` if it is of another namespace.
fn event(
    namespace: &Namespace,
    packet: &Packet<'_>,
    attachments: Vec<Bytes>,
    limits: &EventLimits,
) -> Result<Option<EventPayload>, Refusal> {
    if packet.nsp.as_deref().unwrap_or("/") != namespace.as_str() {
        return Ok(None);
    }
    if !EVENT_PACKETS.contains(&packet.kind) {
        return Err(Refusal::Malformed);
    }
    limits.event(packet.data, attachments).map(Some)
}

fn command(
    namespace: &Namespace,
    request: Request<'_>,
    attachments: Vec<Bytes>,
    limits: &EventLimits,
) -> Result<Command, Refusal> {
    let id = request_id(request.request_id)?;
    let options = request.opts;
    let (query, set) = match request.kind {
        kind::SOCKETS => {
            let set = socket_set(namespace, &request.rooms.into_vec(), &[])?;
            (Query::Ids, set)
        }
        kind::ALL_ROOMS => (Query::Rooms, socket_set(namespace, &[], &[])?),
        kind::REMOTE_FETCH => {
            let set = options.unwrap_or_default().socket_set(namespace)?;
            (Query::Sockets, set)
        }
        // Without an id nobody waits for an answer.
        kind::SERVER_SIDE_EMIT if id.is_none() => return Ok(Command::Ignore),
        kind::SERVER_SIDE_EMIT => (Query::ServerEvent, socket_set(namespace, &[], &[])?),
        kind::BROADCAST => {
            let packet = request.packet.ok_or(Refusal::Malformed)?;
            let Some(event) = event(namespace, &packet, attachments, limits)? else {
                return Ok(Command::Ignore);
            };
            let options = options.unwrap_or_default();
            return Ok(Command::EmitWithAck {
                event,
                within: options.within(),
                to: options.socket_set(namespace)?,
                request: id.ok_or(Refusal::Malformed)?,
            });
        }
        kind @ (kind::REMOTE_JOIN | kind::REMOTE_LEAVE | kind::REMOTE_DISCONNECT) => {
            let mut names = request.rooms.into_vec();
            names.extend(request.room);
            return change(namespace, kind, id, options, request.sid, &names);
        }
        _ => return Err(Refusal::Unknown),
    };
    Ok(Command::Query(query, set, id.ok_or(Refusal::Malformed)?))
}

/// A request that changes sockets: with options any number of them, unanswered, or the one that it names.
fn change(
    namespace: &Namespace,
    kind: u8,
    id: Option<RequestId>,
    options: Option<Options>,
    sid: Option<Name>,
    names: &[Name],
) -> Result<Command, Refusal> {
    let (set, id) = match (options, sid) {
        (Some(options), _) => (options.socket_set(namespace)?, None),
        (None, Some(sid)) => (socket_set(namespace, &[sid], &[])?, id),
        (None, None) => return Err(Refusal::Malformed),
    };
    Ok(match kind {
        kind::REMOTE_JOIN => Command::Join(set, rooms(names)?, id),
        kind::REMOTE_LEAVE => Command::Leave(set, rooms(names)?, id),
        _ => Command::Disconnect(set, id),
    })
}

fn request_id(id: Option<String>) -> Result<Option<RequestId>, Refusal> {
    match id {
        Some(id) if id.len() > MAX_REQUEST_ID => Err(Refusal::Malformed),
        id => Ok(id.map(RequestId)),
    }
}

#[cfg(test)]
mod tests;
