//! Who is typing, and the `typing` events that the members of a room are sent.

use std::{sync::Arc, time::Instant};

use super::broadcaster::Broadcaster;
use crate::{
    backend::ClusterNotice,
    hub::{
        event::OutgoingEvent,
        rooms::typing::{Typing, TypingChange},
    },
    model::{ConnectionId, RoomName, Sender, Seq, UserId},
};

/// Announces who is typing.
#[derive(Debug, Default)]
pub(super) struct TypingEvents {
    /// Only while somebody is: in most rooms nobody is most of the time.
    typing: Option<Box<Typing>>,
}

impl TypingEvents {
    /// Users who are typing.
    pub(super) fn user_count(&self) -> usize {
        self.typing.as_ref().map_or(0, |typing| typing.user_count())
    }

    /// Whether so many users are typing that `user`, who is not, would not be kept.
    pub(super) fn rejects(&self, user: &UserId) -> bool {
        self.typing
            .as_ref()
            .is_some_and(|typing| typing.rejects(user))
    }

    /// A member of this node starts typing, or continues to, after its last message. Other nodes are notified, too.
    pub(super) fn start(
        &mut self,
        members: &mut Broadcaster,
        (connection, user): (ConnectionId, &UserId),
        name: Option<Arc<str>>,
        after: Option<Seq>,
        now: Instant,
    ) {
        self.start_remote(members, (connection, user), name.clone(), after, now);
        self.notify_nodes(members, (connection, user), name, now);
    }

    /// Notifies other nodes that a member of this node is typing, unless they know.
    fn notify_nodes(
        &mut self,
        members: &mut Broadcaster,
        (connection, user): (ConnectionId, &UserId),
        name: Option<Arc<str>>,
        now: Instant,
    ) {
        let typing = self.typing.as_mut();
        if typing.is_some_and(|typing| typing.should_notify_nodes(connection, user, now)) {
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
        let typing = self.typing.as_ref();
        if typing.is_some_and(|typing| typing.is_typing(connection, user)) {
            members.notify_nodes(ClusterNotice::Typing {
                connection,
                user: user.clone(),
                name: None,
                typing: false,
            });
        }
        self.stop_remote(members, connection, user, now);
    }

    /// As [`start`](Self::start), for a member of another node: nobody else is notified.
    pub(super) fn start_remote(
        &mut self,
        members: &mut Broadcaster,
        (connection, user): (ConnectionId, &UserId),
        name: Option<Arc<str>>,
        after: Option<Seq>,
        now: Instant,
    ) {
        let policy = members.settings();
        let typing = self
            .typing
            .get_or_insert_with(|| Typing::new(policy.typing_timeout, policy.max_typists).into());
        let Some(change) = typing.start(connection, user, name, after, now) else {
            return;
        };
        match members.ready_at(user, now) {
            None => send(members, &change, now),
            Some(at) => {
                members.count_deferred();
                typing.defer(user, at);
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
        if let Some(change) = self.update(|typing| typing.stop(connection, user, now)) {
            send(members, &change, now);
        }
    }

    /// A message was delivered: its sender has finished typing it. If the sender is typing the next one already, all nodes are
    /// notified again, since the message has ended it there.
    pub(super) fn finish(
        &mut self,
        members: &mut Broadcaster,
        (from, message): (&Sender, Seq),
        now: Instant,
    ) {
        let user = &from.user;
        let changes = self.update(|typing| Some(typing.finish(user, message, now)));
        for change in changes.iter().flatten() {
            send(members, change, now);
        }
        let typing = self.typing.as_ref();
        for connection in typing.map_or_else(Vec::new, |typing| typing.connections(user)) {
            if members.contains(connection) {
                self.notify_nodes(members, (connection, user), from.name.clone(), now);
            }
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
        let changes = self.typing.iter().flat_map(|typing| typing.current(now));
        let events = changes.map(|change| {
            let event = event(&room, &change);
            (change.user, event)
        });
        members.send_to(connection, events);
    }

    /// Announces users whose time is over, or who continue beyond the announced time.
    pub(super) fn run_due(&mut self, members: &mut Broadcaster, now: Instant) {
        for change in self
            .update(|typing| Some(typing.take_due(now)))
            .into_iter()
            .flatten()
        {
            send(members, &change, now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.typing.as_ref()?.next_deadline()
    }

    /// Ends or continues somebody's typing, if anybody is.
    fn update<T>(&mut self, update: impl FnOnce(&mut Typing) -> Option<T>) -> Option<T> {
        let changed = update(self.typing.as_mut()?);
        self.typing.take_if(|typing| typing.is_empty());
        changed
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
