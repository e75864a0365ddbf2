//! Who is typing, and the `typing` events that the members of a room are sent.

use std::{sync::Arc, time::Instant};

use super::broadcaster::Broadcaster;
use crate::{
    backend::ClusterNotice,
    hub::{
        event::OutgoingEvent,
        rooms::typing::{Typing, TypingChange},
    },
    model::{ConnectionId, RoomName, UserId},
};

/// Announces who is typing.
#[derive(Debug)]
pub(super) struct TypingEvents {
    typing: Typing,
}

impl TypingEvents {
    pub(super) fn new(typing: Typing) -> Self {
        Self { typing }
    }

    pub(super) fn typing(&self) -> &Typing {
        &self.typing
    }

    /// A member of this node starts typing, or continues to. Other nodes are notified, too.
    pub(super) fn start(
        &mut self,
        members: &mut Broadcaster,
        (connection, user): (ConnectionId, &UserId),
        name: Option<Arc<str>>,
        now: Instant,
    ) {
        self.start_remote(members, (connection, user), name.clone(), now);
        if self.typing.should_notify_nodes(connection, user, now) {
            members.notify_nodes(ClusterNotice::Typing {
                connection,
                user: user.clone(),
                name,
                typing: true,
            });
        }
    }

    /// A member of this node stops typing, or leaves. Other nodes are notified, too.
    pub(super) fn stop(
        &mut self,
        members: &mut Broadcaster,
        connection: ConnectionId,
        user: &UserId,
        now: Instant,
    ) {
        if self.typing.is_typing(connection, user) {
            members.notify_nodes(ClusterNotice::Typing {
                connection,
                user: user.clone(),
                name: None,
                typing: false,
            });
        }
        self.stop_remote(members, connection, user, now);
    }

    /// As [`start`](Self::start), for a member of another node.
    pub(super) fn start_remote(
        &mut self,
        members: &mut Broadcaster,
        (connection, user): (ConnectionId, &UserId),
        name: Option<Arc<str>>,
        now: Instant,
    ) {
        let Some(change) = self.typing.start(connection, user, name, now) else {
            return;
        };
        match members.ready_at(user, now) {
            None => send(members, &change, now),
            Some(at) => {
                members.count_deferred();
                self.typing.defer(user, at);
            }
        }
    }

    /// As [`stop`](Self::stop), for a member of another node.
    pub(super) fn stop_remote(
        &mut self,
        members: &mut Broadcaster,
        connection: ConnectionId,
        user: &UserId,
        now: Instant,
    ) {
        if let Some(change) = self.typing.stop(connection, user, now) {
            send(members, &change, now);
        }
    }

    /// A message of the user was delivered: the user has finished typing it.
    pub(super) fn finish(&mut self, members: &mut Broadcaster, user: &UserId, now: Instant) {
        if let Some(change) = self.typing.finish(user) {
            send(members, &change, now);
        }
    }

    /// Sends one member who is typing.
    pub(super) fn send_current(
        &self,
        members: &mut Broadcaster,
        connection: ConnectionId,
        now: Instant,
    ) {
        let room = members.room().clone();
        let changes = self.typing.current(now).into_iter();
        let events = changes.map(|change| {
            let event = event(&room, &change);
            (change.user, event)
        });
        members.send_to(connection, events);
    }

    /// Announces users whose time is over, or who continue beyond the announced time.
    pub(super) fn run_due(&mut self, members: &mut Broadcaster, now: Instant) {
        for change in self.typing.take_due(now) {
            send(members, &change, now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.typing.next_deadline()
    }
}

/// Sends the other users who is typing.
fn send(members: &mut Broadcaster, change: &TypingChange, now: Instant) {
    members.charge(&change.user, now);
    let event = event(members.room(), change);
    members.send(&event, |_, member| member.user != change.user);
}

fn event(room: &RoomName, change: &TypingChange) -> Arc<OutgoingEvent> {
    OutgoingEvent::newest_notice("typing", room, &change.user, &change.event(room))
}

#[cfg(test)]
mod tests;
