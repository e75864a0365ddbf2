//! How messages and events are stored and published. `docs/redis.md` shows the formats.
//!
//! Text, so that people can read it too: the scripts put a line of numbers before each message, then comes one JSON object.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

mod broadcast;
mod document;

use crate::{
    backend::{
        BusEvent,
        redis::membership::{RosterMessage, codec},
    },
    model::{
        ConnectionId, Ephemeral, Epoch, EventName, Message, MessageId, NodeId, Offset, RoomKey,
        Sender, Seq, Timestamp, UserId,
    },
};

/// What is published on a room's channel.
pub(crate) enum ChannelMessage {
    /// A stored message, and the epoch that its number belongs to.
    Message(Epoch, Arc<Message>),
    /// An event that is not stored, and the node that sent it, which delivers it itself.
    Event(BusEvent, NodeId),
    /// A roster update or a notice.
    Roster(RosterMessage),
}

#[derive(Serialize)]
struct EncodedEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    except: Option<String>,
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct DecodedEntry {
    id: Option<String>,
    event: String,
    user: Option<String>,
    name: Option<String>,
    except: Option<String>,
    data: Box<RawValue>,
}

/// Encodes a message or event without its numbers.
pub(crate) fn encode(
    id: Option<&MessageId>,
    event: &EventName,
    from: Option<&Sender>,
    data: &RawValue,
    except: Option<ConnectionId>,
) -> String {
    let entry = EncodedEntry {
        id: id.map(MessageId::as_str),
        event: event.as_str(),
        user: from.map(|from| from.user.as_str()),
        name: from.and_then(|from| from.name.as_deref()),
        except: except.map(|except| except.to_string()),
        data,
    };
    serde_json::to_string(&entry).expect("strings and raw JSON are always encoded")
}

/// Encodes an event that is not stored as it is published.
pub(crate) fn encode_event(event: &BusEvent, node: NodeId) -> Vec<u8> {
    match event {
        BusEvent::Ephemeral(event, except) => encode_ephemeral(event, *except, node).into_bytes(),
        BusEvent::Broadcast(event) => {
            let mut payload = vec![b'b'];
            broadcast::encode(event, node, &mut payload);
            payload
        }
        BusEvent::Document(_, notice, _) => {
            let mut payload = vec![b'd'];
            document::encode(notice, node, &mut payload);
            payload
        }
    }
}

fn encode_ephemeral(event: &Ephemeral, except: Option<ConnectionId>, node: NodeId) -> String {
    let Ephemeral {
        id,
        event: name,
        from,
        data,
        ts,
        ..
    } = event;
    let body = encode(id.as_ref(), name, from.as_ref(), data, except);
    format!("e{} {node}\n{body}", ts.0)
}

/// Decodes a stored message; `None` if it is malformed.
pub(crate) fn decode_message(room: &RoomKey, entry: &[u8]) -> Option<Arc<Message>> {
    let (numbers, body) = std::str::from_utf8(entry).ok()?.split_once('\n')?;
    let mut numbers = numbers.split(' ').map(str::parse);
    let mut number = || numbers.next()?.ok();
    let (seq, offset, ts) = (number()?, number()?, number()?);
    let entry: DecodedEntry = serde_json::from_str(body).ok()?;
    Some(Arc::new(Message {
        room: room.clone(),
        id: MessageId::from_log(entry.id.as_deref()?),
        seq: Seq(seq),
        offset: Offset(offset),
        event: EventName::from_log(&entry.event),
        from: entry.from(),
        except: entry.except(),
        data: entry.data.into(),
        ts: Timestamp(ts),
    }))
}

/// Decodes what was published on a room's channel; `None` if it is malformed.
pub(crate) fn decode_channel_message(room: &RoomKey, payload: &[u8]) -> Option<ChannelMessage> {
    if let Some(encoded) = payload.strip_prefix(b"b") {
        let (event, node) = broadcast::decode(room, encoded)?;
        return Some(ChannelMessage::Event(event, node));
    }
    if let Some(encoded) = payload.strip_prefix(b"d") {
        let (event, node) = document::decode(room, encoded)?;
        return Some(ChannelMessage::Event(event, node));
    }
    let text = std::str::from_utf8(payload).ok()?;
    if let Some(text) = text.strip_prefix('m') {
        let (epoch, entry) = text.split_once(' ')?;
        let message = decode_message(room, entry.as_bytes())?;
        return Some(ChannelMessage::Message(Epoch::from_text(epoch), message));
    }
    let Some(text) = text.strip_prefix('e') else {
        return codec::decode(text).map(ChannelMessage::Roster);
    };
    let (head, body) = text.split_once('\n')?;
    let (ts, node) = head.split_once(' ')?;
    let entry: DecodedEntry = serde_json::from_str(body).ok()?;
    let except = entry.except();
    let event = Ephemeral {
        room: room.clone(),
        id: entry.id.as_deref().map(MessageId::from_log),
        event: EventName::from_log(&entry.event),
        from: entry.from(),
        data: entry.data.into(),
        ts: Timestamp(ts.parse().ok()?),
    };
    let event = BusEvent::Ephemeral(Arc::new(event), except);
    Some(ChannelMessage::Event(event, node.parse().ok()?))
}

impl DecodedEntry {
    fn from(&self) -> Option<Sender> {
        self.user.as_deref().map(|user| Sender {
            user: UserId::from_log(user),
            name: self.name.as_deref().map(Into::into),
        })
    }

    fn except(&self) -> Option<ConnectionId> {
        self.except.as_deref()?.parse().ok()
    }
}
