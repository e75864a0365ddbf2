//! How far users have read, and the `read` events that the members of a room are sent.

use std::time::Instant;

use serde_json::json;

use super::broadcaster::Broadcaster;
use crate::{
    backend::ClusterNotice,
    hub::{
        event::OutgoingEvent,
        rooms::{
            presence::Presence,
            read_progress::{ReadProgress, ReadUpdate},
        },
    },
};

/// Users that have left and may be remembered, besides as many as are in the room.
const MAX_ABSENT_READERS: usize = 64;

/// In a crowded room all members are looked at and few are sent the event: one look costs this much less than one delivery.
const LOOKS_PER_DELIVERY: usize = 10;

/// Announces how far users have read.
#[derive(Debug, Default)]
pub(super) struct ReadEvents {
    /// From the first time on: in most rooms nobody says how far it has read.
    progress: Option<Box<ReadProgress>>,
}

impl ReadEvents {
    /// Announces how far a user has read, unless members know of a later message. In a crowded room only the user's own
    /// connections are sent the event.
    pub(super) fn record(
        &mut self,
        members: &mut Broadcaster,
        presence: &Presence,
        update: ReadUpdate,
        now: Instant,
    ) {
        let progress = self.progress.get_or_insert_default();
        if progress.len() > 2 * presence.user_count() + MAX_ABSENT_READERS {
            // Most may have come and gone on other nodes.
            progress.retain(|user| presence.contains(user));
        }
        let Some(update) = progress.record(update) else {
            return;
        };
        let mut deliveries = members.len();
        if is_private(members, presence) {
            deliveries /= LOOKS_PER_DELIVERY;
        }
        match members.spend_deliveries(&update.user, deliveries, now) {
            None => send(members, presence, update),
            Some(at) => {
                members.count_deferred();
                progress.defer(update, at);
            }
        }
    }

    /// Announces deferred updates that are due.
    pub(super) fn run_due(&mut self, members: &mut Broadcaster, presence: &Presence, now: Instant) {
        let Some(progress) = &mut self.progress else {
            return;
        };
        while let Some(update) = progress.take_due(now) {
            send(members, presence, update);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.progress.as_ref()?.next_deadline()
    }
}

/// Whether users are told of their own progress alone.
fn is_private(members: &Broadcaster, presence: &Presence) -> bool {
    presence.is_crowded() || !members.shows_users()
}

fn send(members: &mut Broadcaster, presence: &Presence, update: ReadUpdate) {
    let ReadUpdate {
        user,
        seq,
        connection,
    } = update;
    let room = members.room().clone();
    let argument = json!({ "room": room, "user": user, "seq": seq });
    let event = OutgoingEvent::room_notice("read", &room, &argument);
    let private = is_private(members, presence);
    members.send(&event, |id, member| {
        (!private || member.user == user) && Some(id) != connection
    });
    if connection.is_some() {
        members.notify_nodes(ClusterNotice::Read { user, seq });
    }
}

#[cfg(test)]
mod tests;
