//! Rooms that a connection was removed from, for as long as its client may not know.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::{model::RoomName, sync::lock};

/// How long it takes at most until a client that was sent an event has received it, or has been found dead.
pub(in crate::hub) const REMOVAL_NOTICE_TTL: Duration = Duration::from_secs(60);

/// Removals that a connection remembers.
const MAX_REMOVALS: usize = 256;

/// The newest removals of one connection, stored with its session and sent again when that is resumed.
#[derive(Debug, Default)]
pub(super) struct RecentRemovals(Mutex<Vec<RoomRemoval>>);

#[derive(Debug)]
struct RoomRemoval {
    room: RoomName,
    reason: String,
    at: Instant,
}

impl RecentRemovals {
    /// Adds a removal, in place of an earlier one from the same room.
    pub(super) fn push(&self, room: &RoomName, reason: &str) {
        let mut removals = lock(&self.0);
        removals.retain(|removal| removal.room != *room);
        if removals.len() >= MAX_REMOVALS {
            removals.remove(0);
        }
        removals.push(RoomRemoval {
            room: room.clone(),
            reason: reason.to_owned(),
            at: Instant::now(),
        });
    }

    /// Forgets the removal from `room`: the connection is joining it again.
    pub(super) fn forget(&self, room: &RoomName) {
        lock(&self.0).retain(|removal| removal.room != *room);
    }

    /// Rooms and reasons of removals that the client may not have received.
    pub(super) fn unconfirmed(&self) -> Vec<(RoomName, String)> {
        let mut removals = lock(&self.0);
        removals.retain(|removal| removal.at.elapsed() < REMOVAL_NOTICE_TTL);
        let removals = removals.iter();
        removals
            .map(|removal| (removal.room.clone(), removal.reason.clone()))
            .collect()
    }
}
