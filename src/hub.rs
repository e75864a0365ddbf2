//! The rules: who may, who is where, in what order.
//!
//! Doors call one verb a request ([`Hub::prepare_connection`], [`Hub::connect`], [`join`](Hub::join), [`leave`](Hub::leave),
//! [`publish`](Hub::publish), [`history`](Hub::history), [`refresh`](Hub::refresh), [`disconnect`](Hub::disconnect))
//! and hand over the [`Connection`] it is for, or a [`Visitor`] where the verb takes any [`Caller`]; the backend's stream
//! comes in by [`deliver`](Hub::deliver_all) and goes out through each connection's [`EventSink`]. The hub knows no protocol,
//! and no door knows a rule.
//!
//! The verbs of one connection are to be called in the order its requests came; the hub keeps that order.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::DashMap;
use tokio::sync::Semaphore;

use crate::{
    auth::{Authority, Principal},
    backend::{Backend, PageSize, Range},
    error::{Code, Error, Limit, Result},
    limits::{Buckets, KeyedCounter, Permit, Pool, Rate},
    model::{ConnectionId, RoomName, UserId},
    telemetry::Metrics,
};

mod cluster;
mod commands;
mod connections;
mod delivery;
mod event;
mod rooms;
#[cfg(test)]
mod session;
mod settings;

pub use commands::{
    Answer, Attendance, Caller, Desk, Executor, GiveUp, History, HistoryPage, Join, Joined,
    LiveRoom, LiveRooms, Poll, Polled, Publish, Publishing, ReadTo, Refusal, Replay, Replies,
    Reply, Request, Roll, RoomState, RoomsPage, Signal, Status, Storing, To, Toll, Visitor,
};

pub use connections::{
    CloseReason, Connection, ConnectionRates, DisconnectGuard, Drained, EventSink, PendingReply,
    PreparedConnection, PreparedStream, ResumeRejection, ResumeRequest, RoomReset, STATE_BYTES,
    StreamRequest, StreamStart, TokenExpiry, memory_exhausted, track_idle,
};
pub use delivery::Gather;
pub use event::{Arguments, Event, Format, Keep, Outgoing};
pub use rooms::PresentUser;
pub use rooms::{Members, PresencePage, UserSummary};
pub use settings::{LimitSettings, PresenceSettings, RecoverySettings, TypingSettings};

use cluster::rpc as peers;
use commands::{join, signal};

/// How much one answer may hold.
#[derive(Clone, Copy, Debug)]
pub struct PageLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of their data.
    pub bytes: usize,
}

/// What the rules are told by the configuration.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// How much anybody may ask for.
    pub limits: LimitSettings,
    /// How much one answer may hold.
    pub pages: PageLimits,
    /// How clients that come back are given what they missed.
    pub recovery: RecoverySettings,
    /// How users are shown to others.
    pub presence: PresenceSettings,
    /// How typing is shown to others.
    pub typing: TypingSettings,
    /// How long a connection stays after its token's end, waiting for a new one.
    pub grace: Duration,
}

/// An identity that has been admitted and is about to connect.
#[derive(Debug)]
pub struct Entrant {
    principal: Principal,
    place: Permit<UserId, connections::LocalUser>,
}

/// When it is worth looking whether one of a user's connections has ended.
const RETRY: Duration = Duration::from_secs(5);

/// How often rooms with members are read: well within the days that a log remembers an idle room.
const KNOWN_FOR: Duration = Duration::from_secs(12 * 3600);

/// How often buckets that are full again are forgotten.
const SWEEP: Duration = Duration::from_secs(10);

/// The rules over one backend; cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

struct Inner {
    backend: Backend,
    authority: Authority,
    limits: LimitSettings,
    /// Bytes in flight.
    memory: Arc<Pool>,
    pages: PageLimits,
    recovery: RecoverySettings,
    presence: PresenceSettings,
    /// How long a connection stays after its token's end.
    grace: Duration,
    messages: Rate,
    user_messages: Buckets<UserId>,
    joins: Rate,
    /// What of that users without a connection have left.
    visits: Buckets<UserId>,
    user_joins: Buckets<UserId>,
    fan_out: Arc<rooms::fan_out::FanOutBudget>,
    rooms: rooms::registry::RoomRegistry,
    connections: DashMap<ConnectionId, Arc<Connection>>,
    /// The node is going down: a client that connects now is closed again.
    closing: AtomicBool,
    session_claims: Arc<connections::SessionClaims>,
    /// Permits to read what a connection has missed.
    catch_ups: Semaphore,
    /// Signals that wait for answers of other nodes, or are answered for them.
    signals: Arc<Pool>,
    /// Permits to answer what other nodes ask.
    answers: Arc<Semaphore>,
    users: Arc<KeyedCounter<UserId, connections::LocalUser>>,
    last_seen: connections::LastSeen,
    /// Doors that send what comes together in one go.
    doors: Mutex<Vec<Arc<dyn Gather>>>,
    metrics: Arc<Metrics>,
}

impl Hub {
    /// Rules over `backend`, with identities from `authority`.
    pub fn new(
        backend: Backend,
        authority: Authority,
        settings: HubSettings,
        metrics: Arc<Metrics>,
    ) -> Self {
        let HubSettings {
            limits,
            pages,
            recovery,
            presence,
            typing,
            grace,
        } = settings;
        metrics.show_not_recovered(ResumeRejection::ALL.map(ResumeRejection::as_str));
        let memory = connections::memory_pool(&limits, &metrics);
        let notices = Rate::new(limits.notices_per_second, limits.notices_burst);
        let fan_out = Arc::new(rooms::fan_out::FanOutBudget::new(notices));
        let policy = rooms::room::RoomPolicy {
            grace: presence.grace,
            max_announced_users: presence.room_users,
            typing_timeout: typing.timeout,
            max_typists: typing.room_users,
            fan_out: fan_out.clone(),
        };
        let rooms = rooms::registry::RoomRegistry::new(
            policy,
            backend.bus.clone(),
            backend.cluster.clone(),
            metrics.clone(),
        );
        let joins = Rate::new(limits.joins_per_second, limits.joins_burst);
        Self(Arc::new(Inner {
            backend,
            authority,
            messages: Rate::new(limits.messages_per_second, limits.messages_burst),
            user_messages: Buckets::new(Rate::new(
                limits.user_messages_per_second,
                limits.user_messages_burst,
            )),
            joins,
            visits: Buckets::new(joins),
            user_joins: Buckets::new(Rate::new(
                limits.user_joins_per_second,
                limits.user_joins_burst,
            )),
            fan_out,
            limits,
            memory,
            pages,
            catch_ups: Semaphore::new(recovery.at_once),
            signals: Pool::new(peers::SIGNALS),
            answers: Arc::new(Semaphore::new(peers::AT_ONCE)),
            recovery,
            presence,
            grace,
            rooms,
            connections: DashMap::new(),
            closing: AtomicBool::new(false),
            session_claims: Arc::default(),
            users: Arc::default(),
            last_seen: connections::LastSeen::default(),
            doors: Mutex::default(),
            metrics,
        }))
    }

    /// Takes a place for one more connection of a user, who may hold `most` (0: no limit).
    fn admit(&self, principal: Principal, most: usize) -> Result<Entrant> {
        let place = self
            .0
            .users
            .take(principal.user.clone(), most)
            .ok_or_else(|| {
                reached(
                    Limit::ConnectionsPerUser,
                    format!("a user may hold {most} connections"),
                )
                .retry_after(RETRY)
            })?;
        Ok(Entrant { principal, place })
    }

    /// Takes `connection` out of `room`. What was stored there before is delivered to it first.
    pub async fn leave(&self, connection: &Connection, room: &RoomName) -> Result<()> {
        if room.belongs_to(&connection.principal().user) {
            return Err(Error::forbidden("the personal room cannot be left"));
        }
        rooms::status::check_joined(connection, room)?;
        let _turn = connection.lock_memberships().await;
        self.0.backend.bus.flush().await;
        if !self.catch_up(connection).await {
            return Err(connections::connection_closing());
        }
        self.save_session(connection, Some(room)).await?;
        if connection.remove_room(room) {
            self.0
                .rooms
                .remove_member(&connection.key(room), connection);
        }
        Ok(())
    }

    /// Has every connection that begins from now on closed at once: those who are not among
    /// [`connections`](Self::connections) after this.
    pub fn close_newcomers(&self) {
        self.0.closing.store(true, Ordering::SeqCst);
    }

    fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::SeqCst)
    }

    /// Whether no connection is open.
    pub fn is_deserted(&self) -> bool {
        self.0.connections.is_empty()
    }

    /// Every connection that is open, in no order.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        self.0
            .connections
            .iter()
            .map(|entry| entry.value().clone())
            .collect()
    }

    /// Does what is due in time: users leave, typing ends, idle users are shown as away. For as long as it is polled.
    pub async fn tend(self) {
        tokio::join!(
            self.0.rooms.run_timers(),
            self.mark_idle_users(),
            self.keep_rooms_known(),
            self.close_stale_connections(),
            self.forget_full_buckets()
        );
    }

    /// Every connection of a user, over all namespaces.
    fn connections_of(&self, user: &UserId) -> Vec<Arc<Connection>> {
        let ids = self
            .0
            .users
            .with_shared(user, connections::LocalUser::connections);
        ids.into_iter()
            .flatten()
            .filter_map(|id| self.0.connections.get(&id).map(|found| found.clone()))
            .collect()
    }

    /// Reads the position of every room with members, now and then, for as long as it is polled.
    ///
    /// A log may forget a room that is empty, not written and not read for days, and numbers it anew from 1 after that.
    /// A room that somebody is in must not be forgotten: its members would take the new numbers for old messages.
    async fn keep_rooms_known(&self) {
        loop {
            tokio::time::sleep(KNOWN_FOR).await;
            self.touch_rooms().await;
        }
    }

    /// One round of [`keep_rooms_known`](Self::keep_rooms_known).
    async fn touch_rooms(&self) {
        for room in self.0.rooms.keys() {
            if let Err(error) = self
                .0
                .backend
                .log
                .read(&room, Range::Last, PageSize::NOTHING)
                .await
            {
                tracing::debug!(?room, %error, "a room could not be read");
            }
        }
    }

    /// Forgets users who have not sent anything lately, for as long as it is polled.
    async fn forget_full_buckets(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            for buckets in [&self.0.user_messages, &self.0.visits, &self.0.user_joins] {
                buckets.sweep(now);
            }
            self.0.fan_out.sweep(now);
        }
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// The limits in force.
    pub fn limits(&self) -> &LimitSettings {
        &self.0.limits
    }

    /// How long a connection stays after its token's end, waiting for a new one.
    pub fn grace(&self) -> Duration {
        self.0.grace
    }

    /// Who checks tokens.
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// Whether requests can be served now; what fails and why, if not.
    pub async fn ready(&self) -> Result<()> {
        self.0.authority.ready()?;
        self.0.backend.log.ready().await
    }

    /// A disconnect that ran while a room was being entered has not seen it: undo the entry then.
    fn leave_if_gone(&self, connection: &Connection, room: &RoomName) {
        if !connection.is_in(room) {
            self.0
                .rooms
                .remove_member(&connection.key(room), connection);
        }
    }

    /// Refuses a name longer than configured; whatever is longer than the contract allows never gets here.
    fn check_name(&self, bytes: usize) -> Result<()> {
        let most = self.0.limits.name_bytes;
        if bytes <= most {
            return Ok(());
        }
        let message = format!("a name may have {most} bytes here, this one has {bytes}");
        Err(Error::bad_request(message).for_limit(Limit::NameBytes))
    }
}

/// More than a configured number.
fn reached(limit: Limit, message: String) -> Error {
    Error::new(Code::LimitReached, message).for_limit(limit)
}

/// Faster than a configured rate.
fn too_fast(limit: Limit, wait: Duration) -> Error {
    let message = format!("too fast: limits.{} is reached", limit.name());
    Error::new(Code::RateLimited, message)
        .for_limit(limit)
        .retry_after(wait)
}

/// Locks a mutex whose data stays whole even if a holder panicked: every critical section here is a few plain
/// assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
