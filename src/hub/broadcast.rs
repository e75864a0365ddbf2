//! Broadcasts: events of an application, relayed or emitted, to everybody, to rooms, or to one connection.
//!
//! They take the way of every other event, through the backend's stream: so each has its place among the messages of its
//! room and among the events of the connection that sent it, on every node.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use super::{
    Connection, Hub,
    event::{Event, OutgoingEvent},
};
use crate::{
    backend::BusEvent,
    error::Result,
    model::{Audience, Broadcast, ConnectionId, Namespace, RoomKey, RoomName},
};

/// Passes broadcasts on to servers of other systems, which have clients of their own in the same rooms.
pub(crate) trait BroadcastPublisher: Send + Sync + 'static {
    /// Publishes a broadcast. It is called in the order of each sender's broadcasts, and never waits.
    fn publish(&self, broadcast: &Broadcast);
}

/// The publisher, if there are such servers.
#[derive(Default)]
pub(super) struct BroadcastPublishing(OnceLock<Box<dyn BroadcastPublisher>>);

impl Hub {
    /// Publishes what this node broadcasts from now on with `publisher`, but never what servers of other systems have sent. Of several
    /// publishers the first stays. It must not keep the hub alive.
    pub(crate) fn publish_broadcasts(&self, publisher: Box<dyn BroadcastPublisher>) {
        let _ = self.broadcast_publishing().0.set(publisher);
    }

    /// Receives what other nodes send to all connections of a namespace, from now on. Waits until that is so, or for a while: it is
    /// tried again until it succeeds.
    pub(crate) async fn follow_broadcasts(&self, namespace: &Namespace) {
        let followed = self
            .backend()
            .bus
            .subscribe(&RoomKey::of_namespace(namespace));
        if let Err(error) = followed.await {
            tracing::debug!(%namespace, %error, "events of other nodes are not received yet");
        }
    }

    /// Sends an event of an application. No grants, no policies and no rates apply.
    ///
    /// # Errors
    /// `unavailable` if the server is stopping.
    pub(crate) async fn broadcast(&self, broadcast: Broadcast) -> Result<()> {
        let broadcast = Arc::new(broadcast);
        let event = BusEvent::Broadcast(broadcast.clone());
        self.backend().bus.send(event).await?;
        self.publish_elsewhere(&broadcast);
        self.metrics().ephemeral.inc();
        Ok(())
    }

    /// Publishes a broadcast for servers of other systems, unless it is for one connection of this node.
    fn publish_elsewhere(&self, broadcast: &Broadcast) {
        let Some(publisher) = self.broadcast_publishing().0.get() else {
            return;
        };
        let is_here = match &broadcast.to {
            Audience::Connection(id) => self.connection_table().get(id).is_some(),
            Audience::Rooms(_) | Audience::Everybody => false,
        };
        if !is_here {
            publisher.publish(broadcast);
        }
    }

    /// Waits until the broadcasts before have been delivered on this node.
    pub(crate) async fn flush_broadcasts(&self) {
        self.backend().bus.flush().await;
    }

    /// Delivers a broadcast to the connections of this node.
    pub(super) fn deliver_broadcast(&self, broadcast: &Arc<Broadcast>) {
        let event = OutgoingEvent::new(Event::Broadcast(broadcast.clone()));
        let mut excluded = self.excluded(broadcast);
        match &broadcast.to {
            Audience::Rooms(rooms) => {
                for (nth, room) in rooms.iter().enumerate() {
                    let key = room_key(broadcast, room);
                    self.rooms()
                        .send(&key, &event, |id| !excluded.contains(&id));
                    // Members of several rooms receive it once.
                    if nth + 1 < rooms.len() {
                        excluded.extend(self.rooms().members(&key));
                    }
                }
            }
            Audience::Everybody => {
                let channel = broadcast.channel();
                for connection in self.connections() {
                    if !excluded.contains(&connection.id()) {
                        self.deliver_to(&connection, &channel, &event);
                    }
                }
            }
            Audience::Connection(id) => {
                let connection = self.connection_table().get(id);
                if let Some(connection) = connection.filter(|_| !excluded.contains(id)) {
                    self.deliver_to(&connection, &broadcast.channel(), &event);
                }
            }
        }
    }
}

impl Hub {
    /// The connections of this node that a broadcast leaves out.
    fn excluded(&self, broadcast: &Broadcast) -> HashSet<ConnectionId> {
        let mut excluded: HashSet<_> = broadcast.except.iter().copied().collect();
        for room in &broadcast.except_rooms {
            excluded.extend(self.rooms().members(&room_key(broadcast, room)));
        }
        excluded
    }

    fn deliver_to(&self, connection: &Connection, channel: &RoomKey, event: &Arc<OutgoingEvent>) {
        let is_there = *connection.namespace() == channel.namespace;
        if is_there && connection.subscriber().push(&channel.room, event) {
            self.metrics().deliveries.inc();
        }
    }
}

fn room_key(broadcast: &Broadcast, room: &RoomName) -> RoomKey {
    RoomKey {
        namespace: broadcast.namespace.clone(),
        room: room.clone(),
    }
}

#[cfg(test)]
mod tests;
