//! How messages and events are written into Redis, and read from there.
//!
//! Text, to be read by people too: a line of numbers that the scripts put before a message, then one JSON object.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::nodes::{self, Said};
use crate::model::{
    ConnectionId, Ephemeral, Epoch, EventName, Message, MessageId, NodeId, Offset, RoomKey, Sender,
    Seq, Timestamp, UserId,
};

/// What comes through a room's channel.
pub(super) enum Published {
    /// A stored message, and the epoch that its number is of.
    Message(Epoch, Arc<Message>),
    /// An event that is not kept, the connection that is not to get it, and the node that sent it, which delivers it itself.
    Ephemeral(Arc<Ephemeral>, Option<ConnectionId>, NodeId),
    /// What a node says of who is there.
    Said(Said),
}

#[derive(Serialize)]
struct Written<'a> {
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
struct Read {
    id: Option<String>,
    event: String,
    user: Option<String>,
    name: Option<String>,
    except: Option<String>,
    data: Box<RawValue>,
}

/// What a message or event says, without its numbers.
pub(super) fn write(
    id: Option<&MessageId>,
    event: &EventName,
    from: Option<&Sender>,
    data: &RawValue,
    except: Option<ConnectionId>,
) -> String {
    let written = Written {
        id: id.map(MessageId::as_str),
        event: event.as_str(),
        user: from.map(|from| from.user.as_str()),
        name: from.and_then(|from| from.name.as_deref()),
        except: except.map(|except| except.to_string()),
        data,
    };
    serde_json::to_string(&written).expect("strings and raw JSON")
}

/// What is published of an event that is not kept.
pub(super) fn write_ephemeral(
    event: &Ephemeral,
    except: Option<ConnectionId>,
    node: NodeId,
) -> String {
    let Ephemeral {
        id,
        event: name,
        from,
        data,
        ts,
        ..
    } = event;
    let body = write(id.as_ref(), name, from.as_ref(), data, except);
    format!("e{} {node}\n{body}", ts.0)
}

/// A stored message; `None` if that is none.
pub(super) fn message(room: &RoomKey, entry: &[u8]) -> Option<Arc<Message>> {
    let (numbers, body) = std::str::from_utf8(entry).ok()?.split_once('\n')?;
    let mut numbers = numbers.split(' ').map(str::parse);
    let mut number = || numbers.next()?.ok();
    let (seq, offset, ts) = (number()?, number()?, number()?);
    let read: Read = serde_json::from_str(body).ok()?;
    Some(Arc::new(Message {
        room: room.clone(),
        id: MessageId::from_log(read.id.as_deref()?),
        seq: Seq(seq),
        offset: Offset(offset),
        event: EventName::from_log(&read.event),
        from: read.from(),
        except: read.except(),
        data: read.data.into(),
        ts: Timestamp(ts),
    }))
}

/// What came through the channel of a room; `None` if nobody of us wrote that.
pub(super) fn published(room: &RoomKey, payload: &[u8]) -> Option<Published> {
    let text = std::str::from_utf8(payload).ok()?;
    if let Some(text) = text.strip_prefix('m') {
        let (epoch, entry) = text.split_once(' ')?;
        let message = message(room, entry.as_bytes())?;
        return Some(Published::Message(Epoch::from_text(epoch), message));
    }
    let Some(text) = text.strip_prefix('e') else {
        return nodes::said(text).map(Published::Said);
    };
    let (head, body) = text.split_once('\n')?;
    let (ts, node) = head.split_once(' ')?;
    let read: Read = serde_json::from_str(body).ok()?;
    let except = read.except();
    let event = Ephemeral {
        room: room.clone(),
        id: read.id.as_deref().map(MessageId::from_log),
        event: EventName::from_log(&read.event),
        from: read.from(),
        data: read.data.into(),
        ts: Timestamp(ts.parse().ok()?),
    };
    Some(Published::Ephemeral(
        Arc::new(event),
        except,
        node.parse().ok()?,
    ))
}

impl Read {
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
