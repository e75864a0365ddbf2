//! The rooms of this node and their members.
//!
//! A member is either live or still reading what it missed. While it reads, its live events are held back within a
//! bound; [`Rooms::go_live`] merges them by `seq` behind what was read. Every member also has the number it was
//! given everything up to: a message up to that number is never delivered again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use dashmap::{DashMap, Entry};
use indexmap::IndexMap;

use super::{
    connection::{Connection, Outlet, lock},
    event::Outgoing,
};
use crate::{
    model::{ConnectionId, RoomKey, Seq, UserId},
    telemetry::Metrics,
};

/// Held events of one member: past either bound the log is read again instead.
const HELD_EVENTS: usize = 1024;
const HELD_BYTES: usize = 1 << 20;

/// How many users the answer to `join` lists.
pub(super) const LISTED_USERS: usize = 100;

/// The rooms with members on this node.
pub(super) struct Rooms {
    rooms: DashMap<RoomKey, Arc<Mutex<Room>>>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Room {
    members: IndexMap<ConnectionId, Member>,
    users: HashMap<UserId, Attendance>,
}

/// A user's connections in a room.
struct Attendance {
    name: Option<Arc<str>>,
    connections: u32,
}

struct Member {
    outlet: Arc<dyn Outlet>,
    user: UserId,
    stage: Stage,
}

enum Stage {
    /// Has everything up to this number and gets what is newer.
    Live { after: Seq },
    /// Still reading.
    Reading(Held),
}

#[derive(Default)]
struct Held {
    events: Vec<Arc<Outgoing>>,
    bytes: usize,
    /// Something did not fit: what was held is gone, the log has it.
    overflowed: bool,
}

/// Who is in a room of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Members {
    /// Users, each counted once.
    pub count: usize,
    /// Some of them.
    pub users: Vec<Present>,
}

/// A user in a room.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Present {
    /// The user.
    pub user: UserId,
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// How many connections of the user are in the room.
    pub connections: u32,
}

/// Whether a member has caught up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Caught {
    /// It is live.
    Up,
    /// More came than could be held: read the log after this number and come again.
    Behind(Seq),
}

impl Rooms {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            rooms: DashMap::new(),
            metrics,
        }
    }

    /// Makes `connection` a member whose live events are held until [`go_live`](Self::go_live). A member that was
    /// live before is set back to reading; the answer is then the number it had everything up to.
    pub(super) fn enter(&self, key: &RoomKey, connection: &Connection) -> Option<Seq> {
        match self.place(key, connection, Stage::Reading(Held::default())) {
            Some(Stage::Live { after }) => Some(after),
            Some(Stage::Reading(_)) | None => None,
        }
    }

    /// Makes `connection` a member that gets every event from now on.
    pub(super) fn enter_live(&self, key: &RoomKey, connection: &Connection) {
        self.place(key, connection, Stage::Live { after: Seq(0) });
    }

    /// Puts a member at a stage; the answer is the stage it was at before.
    fn place(&self, key: &RoomKey, connection: &Connection, stage: Stage) -> Option<Stage> {
        let principal = connection.principal();
        // The entry stays locked, so that the room cannot be dropped as empty meanwhile.
        let entry = self.rooms.entry(key.clone()).or_insert_with(|| {
            self.metrics.rooms.inc();
            Arc::default()
        });
        let mut room = lock(&entry);
        if let Some(member) = room.members.get_mut(&connection.id()) {
            return Some(std::mem::replace(&mut member.stage, stage));
        }
        self.metrics.members.inc();
        let attendance = room
            .users
            .entry(principal.user.clone())
            .or_insert_with(|| Attendance {
                name: principal.name.clone(),
                connections: 0,
            });
        attendance.connections += 1;
        room.members.insert(
            connection.id(),
            Member {
                outlet: connection.outlet().clone(),
                user: principal.user.clone(),
                stage,
            },
        );
        None
    }

    /// Ends a membership, and the room if it was the last.
    pub(super) fn leave(&self, key: &RoomKey, connection: ConnectionId) {
        let Entry::Occupied(entry) = self.rooms.entry(key.clone()) else {
            return;
        };
        let empty = {
            let mut room = lock(entry.get());
            if let Some(member) = room.members.swap_remove(&connection) {
                self.metrics.members.dec();
                room.departed(&member.user);
            }
            room.members.is_empty()
        };
        if empty {
            entry.remove();
            self.metrics.rooms.dec();
        }
    }

    /// Delivers to every member but `except`, each through its stage.
    pub(super) fn deliver(
        &self,
        key: &RoomKey,
        event: &Arc<Outgoing>,
        except: Option<ConnectionId>,
    ) {
        let Some(room) = self.rooms.get(key).map(|room| room.clone()) else {
            return;
        };
        let mut delivered = 0;
        for (connection, member) in &mut lock(&room).members {
            if Some(*connection) == except {
                member.pass_over(event);
            } else if member.offer(event) {
                delivered += 1;
            }
        }
        self.metrics.deliveries.inc_by(delivered);
    }

    /// Releases what was held of a member that has been given everything up to `after`; live from then on.
    ///
    /// Held events are pushed in the order they came; those with a number up to `after` were read already.
    pub(super) fn go_live(&self, key: &RoomKey, connection: ConnectionId, after: Seq) -> Caught {
        let Some(room) = self.rooms.get(key).map(|room| room.clone()) else {
            return Caught::Up;
        };
        let mut room = lock(&room);
        let Some(member) = room.members.get_mut(&connection) else {
            return Caught::Up;
        };
        let Stage::Reading(held) = &mut member.stage else {
            return Caught::Up;
        };
        let held = std::mem::take(held);
        if held.overflowed {
            return Caught::Behind(after);
        }
        member.stage = Stage::Live { after };
        let delivered = held
            .events
            .iter()
            .filter(|event| member.offer(event))
            .count();
        self.metrics.deliveries.inc_by(delivered as u64);
        Caught::Up
    }

    /// The rooms that have members now.
    pub(super) fn keys(&self) -> Vec<RoomKey> {
        self.rooms.iter().map(|room| room.key().clone()).collect()
    }

    /// Who is in the room, with `listed` users at the most.
    pub(super) fn members(&self, key: &RoomKey, listed: usize) -> Members {
        let Some(room) = self.rooms.get(key).map(|room| room.clone()) else {
            return Members::default();
        };
        let room = lock(&room);
        Members {
            count: room.users.len(),
            users: room
                .users
                .iter()
                .take(listed)
                .map(|(user, attendance)| Present {
                    user: user.clone(),
                    name: attendance.name.clone(),
                    connections: attendance.connections,
                })
                .collect(),
        }
    }
}

impl Room {
    fn departed(&mut self, user: &UserId) {
        if let Some(attendance) = self.users.get_mut(user) {
            attendance.connections -= 1;
            if attendance.connections == 0 {
                self.users.remove(user);
            }
        }
    }
}

impl Member {
    /// Notes that a live member is not to get this event, now or later.
    fn pass_over(&mut self, event: &Outgoing) {
        if let (Stage::Live { after }, Some(seq)) = (&mut self.stage, event.seq()) {
            *after = seq.max(*after);
        }
    }

    /// Pushes or holds the event; true if it was pushed.
    fn offer(&mut self, event: &Arc<Outgoing>) -> bool {
        match &mut self.stage {
            Stage::Live { after } => {
                if let Some(seq) = event.seq() {
                    if seq <= *after {
                        return false;
                    }
                    *after = seq;
                }
                self.outlet.push(event);
                true
            }
            Stage::Reading(held) => {
                held.hold(event);
                false
            }
        }
    }
}

impl Held {
    fn hold(&mut self, event: &Arc<Outgoing>) {
        if self.overflowed {
            return;
        }
        self.bytes += event.cost();
        if self.events.len() >= HELD_EVENTS || self.bytes > HELD_BYTES {
            self.events = Vec::new();
            self.overflowed = true;
            return;
        }
        self.events.push(event.clone());
    }
}
