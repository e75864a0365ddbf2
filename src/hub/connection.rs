//! One connection as the hub sees it: who it speaks for, which rooms it is in, how much it may still do.
//!
//! A door makes it through [`Hub::connect`](super::Hub::connect) and hands it to every verb. It knows its door only
//! as an [`Outlet`].

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use indexmap::IndexSet;
use serde_json::value::RawValue;

use super::{Entrant, event::Outgoing, lock, users::Standing};
use crate::{
    auth::Principal,
    limits::{Bucket, Place},
    model::{ConnectionId, Namespace, RoomKey, RoomName, UserId},
};

/// Where a door takes the events of one connection.
pub trait Outlet: Send + Sync + 'static {
    /// Queues an event behind all earlier ones. Never blocks: an outlet that cannot take more ends its connection.
    fn push(&self, event: &Outgoing);

    /// Queues an event that asks for an answer, and waits for it that long; `None` if there is none.
    fn ask(&self, event: &Outgoing, within: Duration) -> Asking;

    /// Whether so much waits that what can be read again later had better be.
    fn is_behind(&self) -> bool;

    /// Ready when little enough waits again, or nothing is taken any more.
    fn drained(&self) -> Drained;

    /// Ends the connection.
    fn close(&self, why: Close);
}

/// The moment [`Outlet::drained`] waits for.
pub type Drained = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The coming answer to [`Outlet::ask`].
pub type Asking = Pin<Box<dyn Future<Output = Option<Box<RawValue>>> + Send>>;

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// It took events more slowly than they came; its client should come back.
    Slow,
    /// The node is going down; its client should come back.
    Draining,
    /// Its token expired and was not replaced in time; coming back with the same token is no use.
    Expired,
    /// Storage could not serve it; its client should come back.
    Unavailable,
    /// Handling one of its events broke off by a defect; its client should come back.
    Failed,
    /// Its client has come back on another connection, which took its place.
    Replaced,
}

impl Close {
    /// The word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Close::Slow => "slow",
            Close::Draining => "draining",
            Close::Expired => "expired",
            Close::Unavailable => "unavailable",
            Close::Failed => "failed",
            Close::Replaced => "replaced",
        }
    }
}

/// A connection of one user to one namespace.
pub struct Connection {
    id: ConnectionId,
    namespace: Namespace,
    outlet: Arc<dyn Outlet>,
    principal: Mutex<Arc<Principal>>,
    rooms: Mutex<Rooms>,
    rates: Mutex<Rates>,
    user: Place<UserId, Standing>,
}

/// The rooms a connection is in.
#[derive(Default)]
struct Rooms {
    /// In the order of joining; the personal room included.
    joined: IndexSet<RoomName>,
    /// No room can be entered any more.
    left_for_good: bool,
}

/// What is left of a connection's own rates.
#[derive(Default)]
pub(super) struct Rates {
    pub(super) messages: Bucket,
    pub(super) joins: Bucket,
}

/// Why a room could not be entered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Gone,
}

impl Connection {
    pub(super) fn new(namespace: Namespace, entrant: Entrant, outlet: Arc<dyn Outlet>) -> Self {
        Self {
            id: ConnectionId::fresh(),
            namespace,
            outlet,
            principal: Mutex::new(Arc::new(entrant.principal)),
            rooms: Mutex::default(),
            rates: Mutex::default(),
            user: entrant.place,
        }
    }

    /// The connection's public id.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The namespace it is connected to.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Who it speaks for now; `refresh` can change all of it but the user.
    pub fn principal(&self) -> Arc<Principal> {
        lock(&self.principal).clone()
    }

    /// The rooms it is in, in the order of joining.
    pub fn rooms(&self) -> Vec<RoomName> {
        lock(&self.rooms).joined.iter().cloned().collect()
    }

    /// Sends it an event that concerns it alone.
    pub fn push(&self, event: &Outgoing) {
        self.outlet.push(event);
    }

    /// Ends it.
    pub fn close(&self, why: Close) {
        self.outlet.close(why);
    }

    /// A room's key in this connection's namespace.
    pub fn key(&self, room: &RoomName) -> RoomKey {
        RoomKey {
            namespace: self.namespace.clone(),
            room: room.clone(),
        }
    }

    pub(super) fn outlet(&self) -> &Arc<dyn Outlet> {
        &self.outlet
    }

    pub(super) fn set_principal(&self, principal: Principal) {
        *lock(&self.principal) = Arc::new(principal);
    }

    pub(super) fn rates(&self) -> MutexGuard<'_, Rates> {
        lock(&self.rates)
    }

    /// What all connections of the user share.
    pub(super) fn standing(&self) -> &Standing {
        self.user.shared()
    }

    /// Whether it is in `room`.
    pub fn is_in(&self, room: &RoomName) -> bool {
        lock(&self.rooms).joined.contains(room)
    }

    /// Notes that it is in `room`, with `most` rooms at the most (0: no limit; the personal room is not counted).
    /// True if it was not before.
    pub(super) fn enter(&self, room: &RoomName, most: usize) -> Result<bool, Refused> {
        let mut rooms = lock(&self.rooms);
        if rooms.left_for_good {
            return Err(Refused::Gone);
        }
        if rooms.joined.contains(room) {
            return Ok(false);
        }
        let counted = rooms
            .joined
            .iter()
            .filter(|room| !room.is_personal())
            .count();
        if most != 0 && !room.is_personal() && counted >= most {
            return Err(Refused::Full);
        }
        rooms.joined.insert(room.clone());
        Ok(true)
    }

    /// Forgets `room`; true if it was in there.
    pub(super) fn leave(&self, room: &RoomName) -> bool {
        lock(&self.rooms).joined.shift_remove(room)
    }

    /// Forgets every room and enters none from now on.
    pub(super) fn leave_for_good(&self) -> IndexSet<RoomName> {
        let mut rooms = lock(&self.rooms);
        rooms.left_for_good = true;
        std::mem::take(&mut rooms.joined)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("namespace", &self.namespace)
            .field("user", &self.principal().user)
            .finish_non_exhaustive()
    }
}
