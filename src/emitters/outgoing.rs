//! What this cluster's applications emit and its clients relay, for servers of Socket.IO for Node on the same Redis.
//!
//! The node where a broadcast begins publishes it, once, as such a server would: MessagePack, `[sender, packet, options]`. All nodes of a
//! cluster are one sender, so that each recognises what the others have published and delivered already.

use std::sync::Arc;

use super::{
    Refusal,
    channels::broadcast_channel,
    event::MAX_DEPTH,
    msgpack_writer::{begin_array, begin_map, write_json, write_names, write_small, write_text},
};
use crate::{
    backend::PubSub,
    hub::BroadcastPublisher,
    model::{Audience, Broadcast, ConnectionId, RoomName},
    retry::log_rarely,
    telemetry::Metrics,
};

/// The type of packets that are events. Servers find out by themselves whether one has attachments.
const EVENT: u8 = 2;

/// The sender that the nodes of a cluster are.
#[derive(Clone)]
pub(super) struct ClusterSender {
    /// What its messages begin with.
    beginning: Vec<u8>,
}

impl ClusterSender {
    /// The sender that nodes with this prefix of keys are.
    pub(super) fn new(prefix: &str) -> Self {
        let mut beginning = Vec::new();
        // Neither fails: a prefix is short.
        let _ = begin_array(&mut beginning, 3);
        let _ = write_text(&mut beginning, &format!("switchboard {prefix}"));
        Self { beginning }
    }

    /// Whether a node of this cluster has published a message. Only its first bytes are compared: a forged sender means a dropped message.
    pub(super) fn has_sent(&self, message: &[u8]) -> bool {
        message.starts_with(&self.beginning)
    }

    /// A broadcast as servers read it.
    fn encode(&self, broadcast: &Broadcast, rooms: &[String]) -> Result<Vec<u8>, Refusal> {
        let event = &broadcast.event;
        let mut message = self.beginning.clone();
        message.reserve(event.len() + event.len() / 4 + 256);
        let out = &mut message;
        begin_map(out, 3)?;
        write_text(out, "type")?;
        write_small(out, EVENT)?;
        write_text(out, "data")?;
        write_json(out, &event.text, &event.attachments, MAX_DEPTH)?;
        write_text(out, "nsp")?;
        write_text(out, broadcast.namespace.as_str())?;
        begin_map(out, 3)?;
        write_text(out, "rooms")?;
        write_names(out, rooms.iter())?;
        write_text(out, "except")?;
        // To servers, a socket's id is a room that it is in.
        let sockets = broadcast.except.iter().map(ConnectionId::to_string);
        let except_rooms = broadcast.except_rooms.iter().map(RoomName::to_string);
        let except: Vec<_> = sockets.chain(except_rooms).collect();
        write_names(out, except.iter())?;
        write_text(out, "flags")?;
        begin_map(out, 0)?;
        Ok(message)
    }
}

/// Publishes broadcasts.
pub(super) struct Publisher {
    pub(super) pubsub: Arc<dyn PubSub>,
    pub(super) sender: ClusterSender,
    /// What the names of channels begin with.
    pub(super) key: String,
    pub(super) metrics: Arc<Metrics>,
}

impl BroadcastPublisher for Publisher {
    fn publish(&self, broadcast: &Broadcast) {
        let rooms: Vec<String> = match &broadcast.to {
            Audience::Everybody => Vec::new(),
            // To servers, no room is everybody.
            Audience::Rooms(rooms) if rooms.is_empty() => return,
            Audience::Rooms(rooms) => rooms.iter().map(RoomName::to_string).collect(),
            Audience::Connection(id) => vec![id.to_string()],
        };
        let only = match rooms.as_slice() {
            [only] => Some(only.as_str()),
            _ => None,
        };
        let channel = broadcast_channel(&self.key, &broadcast.namespace, only);
        match self.sender.encode(broadcast, &rooms) {
            Ok(message) => {
                self.metrics.emitter_published.inc();
                self.pubsub.publish(channel, message);
            }
            Err(refusal) => {
                let (reason, advice) = (refusal.as_str(), refusal.advice());
                log_rarely!(
                    warn,
                    reason,
                    advice,
                    "an event does not reach the sockets of servers of other systems"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
