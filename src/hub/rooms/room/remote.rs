//! What a room exchanges with other nodes: events of theirs that it applies, and what it publishes itself.

use std::time::Instant;

use super::Room;
use crate::{
    backend::{ClusterNodes, ClusterNotice, RemoteEvent},
    model::{RoomKey, Timestamp},
};

impl Room {
    /// Applies an event of another node.
    pub(in crate::hub) fn apply_remote(&mut self, event: RemoteEvent, now: Instant, ts: Timestamp) {
        let (presence, members) = (&mut self.presence, &mut self.members);
        match event {
            RemoteEvent::Snapshot(entries) => presence.apply_snapshot(members, entries, now, ts),
            RemoteEvent::UserChanged(node, user, entry) => {
                presence.apply_remote_user(members, (node, user, entry), now, ts);
            }
            RemoteEvent::NodeLeft(node) => presence.remove_node(members, node, now, ts),
            RemoteEvent::Notice(notice) => self.apply_notice(notice, now),
        }
    }

    fn apply_notice(&mut self, notice: ClusterNotice, now: Instant) {
        let members = &mut self.members;
        match notice {
            ClusterNotice::Typing {
                connection,
                user,
                name,
                typing: true,
            } => self
                .typing
                .start_remote(members, (connection, &user), name, None, now),
            ClusterNotice::Typing {
                connection, user, ..
            } => self.typing.stop_remote(members, connection, &user, now),
            ClusterNotice::Read { user, seq } => self.record_read(&user, seq, None, now),
            // Belongs to the user and to no room.
            ClusterNotice::Status { .. } => {}
        }
    }

    /// Sends other nodes what has changed here. In the room's lock, so that they receive it in order.
    pub(in crate::hub::rooms) fn publish_to_nodes(
        &mut self,
        room: &RoomKey,
        nodes: Option<&dyn ClusterNodes>,
    ) {
        let is_closing = self.is_unused();
        let entries = self.presence.take_unpublished(is_closing);
        let notices = self.members.take_notices();
        let Some(nodes) = nodes else { return };
        for (user, entry) in entries {
            nodes.set_presence(room, &user, entry);
        }
        for notice in notices {
            nodes.notify(room, notice);
        }
    }
}
