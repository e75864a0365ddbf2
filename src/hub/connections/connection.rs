//! One connection as the hub sees it: who it speaks for, which rooms it is in, how much it may still do.
//!
//! A door makes it through [`Hub::connect`](super::Hub::connect) and hands it to every verb. It knows its door only
//! as an [`EventSink`].

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use indexmap::IndexMap;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::hub::{
    Entrant,
    application::{Application, Held},
    connections::LocalUser,
    connections::Subscriber,
    event::Outgoing,
    lock,
    rooms::user_status::UserStatus,
};
use crate::{
    auth::Principal,
    error::{Code, Result},
    limits::{Bucket, Permit},
    model::{ConnectionId, Epoch, Namespace, Offset, Pid, RoomKey, RoomName, UserId},
};

/// Where a door takes the events of one connection.
pub trait EventSink: Send + Sync + 'static {
    /// Queues an event behind all earlier ones. Never blocks: an outlet that cannot take more ends its connection.
    fn push(&self, event: &Outgoing);

    /// Queues an event that asks for an answer, and waits for it that long. `None` if clients of this door cannot answer:
    /// they are told nothing then.
    fn ask(&self, event: &Outgoing, within: Duration) -> Option<PendingReply>;

    /// The connection is not in `room` any more, by no wish of its own.
    fn expelled(&self, _room: &RoomName) {}

    /// So many events that are not kept were dropped before they came here, because the connection is behind.
    fn dropped(&self, _events: u64) {}

    /// The rooms besides the hub's that an application has joined the connection to.
    fn rooms(&self) -> Vec<String> {
        Vec::new()
    }

    /// Joins those again.
    fn rejoin(&self, _rooms: &[String]) {}

    /// What is left of the connection's own rates, if its transport has had connections before.
    fn rates(&self) -> ConnectionRates {
        ConnectionRates::default()
    }

    /// Whether so much waits that what can be read again later had better be.
    fn is_behind(&self) -> bool;

    /// Ready when little enough waits again, or nothing is taken any more.
    fn drained(&self) -> Drained;

    /// Ends the connection.
    fn close(&self, why: CloseReason);
}

/// The moment [`EventSink::drained`] waits for.
pub type Drained = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The coming answer to [`EventSink::ask`]: all its arguments, or why they cannot be passed on. `None` if none came in time.
pub type PendingReply = Pin<Box<dyn Future<Output = Option<Result<Vec<Box<RawValue>>>>> + Send>>;

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// It took events more slowly than they came; its client should come back.
    Slow,
    /// The node is going down; its client should come back.
    Draining,
    /// Its token expired and was not replaced in time; its client should come back with a new one.
    Expired,
    /// It cannot be let in now, and that will pass; its client should come back.
    Refused(Code),
    /// Storage could not serve it; its client should come back.
    Unavailable,
    /// Handling one of its events broke off by a defect; its client should come back.
    Failed,
    /// Its client has come back on another connection, which took its place.
    Replaced,
    /// A back end wants its user off; its client should not come back by itself.
    Removed,
    /// It went on asking for more than its rate allows.
    Flooding,
    /// It sent what is not the protocol.
    Malformed,
    /// It sent a message that is larger than its transport takes.
    TooLarge,
}

impl CloseReason {
    /// The word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            CloseReason::Slow => "slow",
            CloseReason::Draining => "draining",
            CloseReason::Expired => "expired",
            CloseReason::Refused(code) => code.as_str(),
            CloseReason::Unavailable => "unavailable",
            CloseReason::Failed => "failed",
            CloseReason::Replaced => "replaced",
            CloseReason::Removed => "removed",
            CloseReason::Flooding => "flooding",
            CloseReason::Malformed => "malformed",
            CloseReason::TooLarge => "too_large",
        }
    }

    /// Whether its session ends with it, and its client is not to come back by itself: neither time nor a new token helps.
    pub const fn is_for_good(self) -> bool {
        matches!(self, CloseReason::Removed)
    }
}

/// A connection of one user to one namespace.
pub struct Connection {
    id: ConnectionId,
    pid: Option<Pid>,
    namespace: Namespace,
    feed: Arc<Subscriber>,
    principal: Mutex<Arc<Principal>>,
    rooms: Mutex<Rooms>,
    /// Held by whoever changes what there is to catch up with, or catches up.
    turn: Arc<Turns>,
    /// The log's life that its rooms' offsets are of.
    life: OnceLock<Epoch>,
    /// How often its session had been claimed when it was found.
    claims: AtomicU64,
    for_good: AtomicBool,
    rates: ConnectionRates,
    lost: Mutex<Vec<Lost>>,
    user: Permit<UserId, LocalUser>,
    held: Mutex<Held>,
}

/// Joins, leaves and catching up of one connection happen one after another.
type Turns = tokio::sync::Mutex<()>;
/// Whoever has it, has its turn.
pub(in crate::hub) type Turn = tokio::sync::OwnedMutexGuard<()>;

/// The rooms of a connection, in the order of joining, each with its floor: the offset after which it is to be given
/// the room's messages.
pub(in crate::hub) type Memberships = IndexMap<RoomName, Offset>;

/// The rooms a connection is in.
#[derive(Default)]
struct Rooms {
    /// In the order of joining, the personal room included. Without a floor as long as it is being joined.
    joined: IndexMap<RoomName, Option<Offset>>,
    /// No room can be entered any more.
    left_for_good: bool,
}

/// A room that a connection was taken out of.
struct Lost {
    room: RoomName,
    reason: String,
    at: Instant,
}

/// How long it takes until a client that was told something has heard it, or has been found dead.
pub(in crate::hub) const HEARD: Duration = Duration::from_secs(60);

/// Lost rooms that a connection remembers.
const MOST_LOST: usize = 256;

/// What is left of a connection's own rates. A transport keeps it over all its connections to a namespace: one that is left and
/// entered again has no more of them.
#[derive(Clone, Debug, Default)]
pub struct ConnectionRates(Arc<Mutex<Rates>>);

#[derive(Debug, Default)]
pub(in crate::hub) struct Rates {
    pub(in crate::hub) messages: Bucket,
    pub(in crate::hub) joins: Bucket,
}

impl ConnectionRates {
    pub(in crate::hub) fn lock(&self) -> MutexGuard<'_, Rates> {
        lock(&self.0)
    }
}

/// Why a room could not be entered.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::hub) enum Refused {
    Full,
    Gone,
}

impl Connection {
    /// A connection of `session`, and in its rooms, that gets its events by `feed`.
    pub(in crate::hub) fn new(
        entrant: Entrant,
        namespace: Namespace,
        session: (ConnectionId, Option<Pid>),
        rooms: Memberships,
        feed: Subscriber,
    ) -> Self {
        let (id, pid) = session;
        let joined = rooms.into_iter().map(|(room, floor)| (room, Some(floor)));
        let rates = feed.outlet().rates();
        Self {
            id,
            pid,
            namespace,
            feed: Arc::new(feed),
            principal: Mutex::new(Arc::new(entrant.principal)),
            rooms: Mutex::new(Rooms {
                joined: joined.collect(),
                left_for_good: false,
            }),
            turn: Arc::default(),
            life: OnceLock::new(),
            claims: AtomicU64::new(0),
            for_good: AtomicBool::new(false),
            rates,
            lost: Mutex::default(),
            user: entrant.place,
            held: Mutex::default(),
        }
    }

    /// The connection's public id.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// What its client can resume its session by, if it can.
    pub fn pid(&self) -> Option<Pid> {
        self.pid
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
        lock(&self.rooms).joined.keys().cloned().collect()
    }

    /// Sends it an event that concerns it alone.
    pub fn push(&self, event: &Outgoing) {
        self.outlet().push(event);
    }

    /// Ends it.
    pub fn close(&self, why: CloseReason) {
        if why.is_for_good() {
            self.for_good.store(true, Ordering::Relaxed);
        }
        self.outlet().close(why);
    }

    /// A room's key in this connection's namespace.
    pub fn key(&self, room: &RoomName) -> RoomKey {
        RoomKey {
            namespace: self.namespace.clone(),
            room: room.clone(),
        }
    }

    pub(in crate::hub) fn outlet(&self) -> &Arc<dyn EventSink> {
        self.feed.outlet()
    }

    pub(in crate::hub) fn feed(&self) -> &Arc<Subscriber> {
        &self.feed
    }

    /// What the application keeps with it.
    pub(in crate::hub) fn held(&self) -> &Mutex<Held> {
        &self.held
    }

    /// Gives back what the application kept with the session that goes on.
    pub(in crate::hub) fn restore(&self, application: Application) {
        self.outlet().rejoin(&application.rooms);
        *lock(&self.held) = Held::of(application);
    }

    /// Waits until nobody else of this connection joins, leaves or catches up.
    pub(in crate::hub) async fn turn(&self) -> Turn {
        self.turn.clone().lock_owned().await
    }

    /// The turn of a connection that nobody else knows yet.
    pub(in crate::hub) fn first_turn(&self) -> Option<Turn> {
        self.turn.clone().try_lock_owned().ok()
    }

    /// Whether it was closed for a reason that its session does not outlive.
    pub(in crate::hub) fn is_ended_for_good(&self) -> bool {
        self.for_good.load(Ordering::Relaxed)
    }

    /// Notes which life of the log its rooms' offsets are of, once it is in any.
    pub(in crate::hub) fn begin_in(&self, life: Epoch) {
        // Only what resumes a session knows it from the beginning.
        let _ = self.life.set(life);
    }

    /// Notes how often its session had been claimed when it was found.
    pub(in crate::hub) fn found(&self, claims: u64) {
        self.claims.store(claims, Ordering::Relaxed);
    }

    /// How often that was; 0 of a new session.
    pub(in crate::hub) fn claims(&self) -> u64 {
        self.claims.load(Ordering::Relaxed)
    }

    /// Whether its offsets are of another life of the log: what it had not been given by then may be gone.
    pub(in crate::hub) fn has_outlived(&self, life: &Epoch) -> bool {
        self.life.get().is_some_and(|own| own != life)
    }

    pub(in crate::hub) fn set_principal(&self, principal: Principal) {
        *lock(&self.principal) = Arc::new(principal);
    }

    pub(in crate::hub) fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock()
    }

    /// What all connections of the user share.
    pub(in crate::hub) fn standing(&self) -> &LocalUser {
        self.user.shared()
    }

    /// How its user is, by its token.
    pub(in crate::hub) fn user_status(&self) -> UserStatus {
        self.standing().user_status(|| self.principal())
    }

    /// Whether it is in `room`.
    pub fn is_in(&self, room: &RoomName) -> bool {
        lock(&self.rooms).joined.contains_key(room)
    }

    /// The rooms it is in, without those that it is just joining; `None` if it has left for good.
    pub(in crate::hub) fn memberships(&self) -> Option<Memberships> {
        let rooms = lock(&self.rooms);
        (!rooms.left_for_good).then(|| floored(rooms.joined.clone()))
    }

    /// Notes that it joins `room`, with `most` rooms at the most (0: no limit; the personal room is not counted).
    /// True if it was not before.
    pub(in crate::hub) fn enter(&self, room: &RoomName, most: usize) -> Result<bool, Refused> {
        let mut rooms = lock(&self.rooms);
        if rooms.left_for_good {
            return Err(Refused::Gone);
        }
        if rooms.joined.contains_key(room) {
            return Ok(false);
        }
        let counted = rooms
            .joined
            .keys()
            .filter(|room| !room.is_personal())
            .count();
        if most != 0 && !room.is_personal() && counted >= most {
            return Err(Refused::Full);
        }
        rooms.joined.insert(room.clone(), None);
        drop(rooms);
        lock(&self.lost).retain(|lost| lost.room != *room);
        Ok(true)
    }

    /// Notes that it was taken out of `room`. Its client may have gone without being told.
    pub(in crate::hub) fn note_lost(&self, room: &RoomName, reason: &str) {
        let mut lost = lock(&self.lost);
        lost.retain(|lost| lost.room != *room);
        if lost.len() >= MOST_LOST {
            lost.remove(0);
        }
        lost.push(Lost {
            room: room.clone(),
            reason: reason.to_owned(),
            at: Instant::now(),
        });
    }

    /// The rooms that it was taken out of and whose loss its client may not have heard of.
    pub(in crate::hub) fn lost(&self) -> Vec<(RoomName, String)> {
        let mut lost = lock(&self.lost);
        lost.retain(|lost| lost.at.elapsed() < HEARD);
        let lost = lost.iter();
        lost.map(|lost| (lost.room.clone(), lost.reason.clone()))
            .collect()
    }

    /// The answer to a join has been read: the room's floor from now on, unless it had one. False if it is not in
    /// the room any more.
    pub(in crate::hub) fn joined(&self, room: &RoomName, floor: Offset) -> bool {
        let mut rooms = lock(&self.rooms);
        let membership = rooms.joined.get_mut(room);
        membership.map(|had| had.get_or_insert(floor)).is_some()
    }

    /// Forgets `room`; true if it was in there.
    pub(in crate::hub) fn leave(&self, room: &RoomName) -> bool {
        lock(&self.rooms).joined.shift_remove(room).is_some()
    }

    /// Forgets every room, enters none and is given nothing from now on; answers the rooms that it was in and those that
    /// it was just joining. `None` if that was done before: whoever does it first sees to the rest.
    pub(in crate::hub) fn leave_for_good(&self) -> Option<(Memberships, Vec<RoomName>)> {
        let joined = {
            let mut rooms = lock(&self.rooms);
            if std::mem::replace(&mut rooms.left_for_good, true) {
                return None;
            }
            std::mem::take(&mut rooms.joined)
        };
        self.feed.close();
        let joining = joined.iter().filter(|(_, floor)| floor.is_none());
        let joining = joining.map(|(room, _)| room.clone()).collect();
        Some((floored(joined), joining))
    }
}

/// The rooms that are not just being joined.
fn floored(joined: IndexMap<RoomName, Option<Offset>>) -> Memberships {
    let floored = joined.into_iter();
    floored
        .filter_map(|(room, floor)| Some((room, floor?)))
        .collect()
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
