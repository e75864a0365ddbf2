//! One connection as the hub sees it: its user, its rooms, its rates and the stream of its events.
//!
//! A transport opens it by [`Hub::connect`](crate::hub::Hub::connect) and passes it to every verb. The hub knows the transport
//! only as an [`EventSink`].

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::{
    ConnectionRates,
    application::{ApplicationData, ApplicationState, GrantedRooms},
    event_sink::{CloseReason, EventSink},
    memberships::{JoinError, LeftRooms, MembershipGuard, MembershipTable, Memberships},
    rates::RateBuckets,
    removals::RecentRemovals,
    subscriber::Subscriber,
    users::LocalUser,
};
use crate::{
    auth::Principal,
    error::Result,
    hooks::PermittedIdentity,
    hub::{AdmittedUser, OutgoingEvent, rooms::user_status::UserStatus},
    limits::Permit,
    model::{
        ConnectionId, Incarnation, Namespace, Offset, Pid, RoomKey, RoomName, Timestamp, UserId,
    },
    retry::log_in_bursts,
    sync::lock,
    traces::TraceParent,
};

/// A connection of one user to one namespace.
pub struct Connection {
    id: ConnectionId,
    pid: Option<Pid>,
    namespace: Namespace,
    subscriber: Arc<Subscriber>,
    principal: Mutex<Arc<Principal>>,
    unverified_address: Option<IpAddr>,
    user: Permit<UserId, LocalUser>,
    memberships: MembershipTable,
    membership_lock: Arc<tokio::sync::Mutex<()>>,
    removals: RecentRemovals,
    /// The incarnation of the log that the start offsets of its rooms belong to.
    incarnation: OnceLock<Incarnation>,
    /// How often its session had been claimed when it was read.
    claim_count: AtomicU64,
    session_ended: AtomicBool,
    store_turn: Arc<tokio::sync::Mutex<()>>,
    rates: ConnectionRates,
    application: Mutex<ApplicationState>,
    connected_at: Timestamp,
    hook_turn: tokio::sync::Mutex<()>,
    trace: TraceParent,
}

impl Connection {
    /// A connection of `session`, a member of `rooms`, that receives its events through `subscriber`.
    pub(in crate::hub) fn new(
        admitted: AdmittedUser,
        namespace: Namespace,
        session: (ConnectionId, Option<Pid>),
        rooms: Memberships,
        subscriber: Subscriber,
    ) -> Self {
        let (id, pid) = session;
        let rates = subscriber.sink().rates();
        Self {
            id,
            pid,
            namespace,
            subscriber: Arc::new(subscriber),
            principal: Mutex::new(Arc::new(admitted.principal)),
            unverified_address: admitted.unverified_address,
            user: admitted.permit,
            memberships: MembershipTable::new(rooms),
            membership_lock: Arc::default(),
            removals: RecentRemovals::default(),
            incarnation: OnceLock::new(),
            claim_count: AtomicU64::new(0),
            session_ended: AtomicBool::new(false),
            store_turn: Arc::default(),
            rates,
            application: Mutex::default(),
            connected_at: Timestamp::now(),
            hook_turn: tokio::sync::Mutex::default(),
            trace: admitted.trace,
        }
    }

    /// Lets it store its session in turn with the connection whose place it takes.
    pub(super) fn in_place_of(mut self, replaced: &Self) -> Self {
        self.store_turn = replaced.store_turn.clone();
        self
    }

    /// The connection's public id.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The secret by which its client can resume its session, if it can.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// Its client's address, if the user is no more than what the client says.
    pub(in crate::hub) fn unverified_address(&self) -> Option<IpAddr> {
        self.unverified_address
    }

    /// When it connected; a resumed session connects anew.
    pub fn connected_at(&self) -> Timestamp {
        self.connected_at
    }

    /// The namespace that it is connected to.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A room's key in this connection's namespace.
    pub fn room_key(&self, room: &RoomName) -> RoomKey {
        RoomKey {
            namespace: self.namespace.clone(),
            room: room.clone(),
        }
    }

    /// The current identity; `refresh` can change all of it but the user.
    pub fn principal(&self) -> Arc<Principal> {
        lock(&self.principal).clone()
    }

    pub(in crate::hub) fn set_principal(&self, principal: Principal) {
        *lock(&self.principal) = Arc::new(principal);
    }

    /// What all connections of the user to this node share.
    pub(in crate::hub) fn local_user(&self) -> &LocalUser {
        self.user.shared()
    }

    /// The status of its user, with the identity of this connection's token.
    pub(in crate::hub) fn user_status(&self) -> UserStatus {
        self.local_user().user_status(|| self.principal())
    }

    pub(in crate::hub) fn rates(&self) -> MutexGuard<'_, RateBuckets> {
        self.rates.lock()
    }

    /// The parent of the spans of what its client asks for.
    pub(crate) fn trace(&self) -> &TraceParent {
        &self.trace
    }

    /// Waits until no call of a hook is under way for it. In the order of those who wait.
    pub(crate) async fn hook_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.hook_turn.lock().await
    }

    /// Sends an event that concerns this connection alone.
    pub(crate) fn push(&self, event: &OutgoingEvent) {
        self.sink().push(event);
    }

    /// Closes the connection.
    pub fn close(&self, reason: CloseReason) {
        if reason.ends_session() {
            self.session_ended.store(true, Ordering::Relaxed);
        }
        self.sink().close(reason);
    }

    /// Whether it was closed for a reason that ends its session, too.
    pub(in crate::hub) fn has_ended_session(&self) -> bool {
        self.session_ended.load(Ordering::Relaxed)
    }

    pub(in crate::hub) fn sink(&self) -> &Arc<dyn EventSink> {
        self.subscriber.sink()
    }

    pub(in crate::hub) fn subscriber(&self) -> &Arc<Subscriber> {
        &self.subscriber
    }

    /// Sets the incarnation of the log that its start offsets belong to. Only the first call has an effect: a resumed session has
    /// one from the beginning.
    pub(in crate::hub) fn set_incarnation(&self, incarnation: Incarnation) {
        let _ = self.incarnation.set(incarnation);
    }

    /// Whether its start offsets belong to another incarnation of the log: messages that it had not received by then may be lost.
    pub(in crate::hub) fn is_stale(&self, current: &Incarnation) -> bool {
        self.incarnation.get().is_some_and(|own| own != current)
    }

    /// Sets how often its session had been claimed when it was read.
    pub(in crate::hub) fn set_claim_count(&self, count: u64) {
        self.claim_count.store(count, Ordering::Relaxed);
    }

    /// Waits until no other task stores its session: what is read of it in a turn is stored before what is read in the next.
    pub(super) async fn store_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.store_turn.lock().await
    }

    /// How often its session had been claimed when it was read; 0 for a new session.
    pub(in crate::hub) fn claim_count(&self) -> u64 {
        self.claim_count.load(Ordering::Relaxed)
    }
}

/// Rooms.
impl Connection {
    /// The rooms that it is in, in the order of joining.
    pub fn rooms(&self) -> Vec<RoomName> {
        self.memberships.names()
    }

    /// Tells its transport that it has become a member of a room.
    pub(crate) fn announce_joined(&self, room: &RoomName) {
        self.sink().room_joined(room);
        // If it was removed meanwhile, its transport may have been told of that first.
        if !self.is_in(room) {
            self.sink().room_left(room);
        }
    }

    /// Whether it is in `room`.
    pub fn is_in(&self, room: &RoomName) -> bool {
        self.memberships.contains(room)
    }

    /// The rooms that it has joined, without those that it is joining; `None` after [`leave_all`](Self::leave_all).
    pub(in crate::hub) fn memberships(&self) -> Option<Memberships> {
        self.memberships.joined()
    }

    /// Whether it has left its rooms for good: it has ended, or another connection has resumed its session.
    pub(in crate::hub) fn has_left_all(&self) -> bool {
        self.memberships.is_closed()
    }

    /// Waits until no other task of this connection joins, leaves or catches up.
    pub(in crate::hub) async fn lock_memberships(&self) -> MembershipGuard {
        self.membership_lock.clone().lock_owned().await
    }

    /// The membership lock, if nobody holds it.
    pub(in crate::hub) fn try_lock_memberships(&self) -> Option<MembershipGuard> {
        self.membership_lock.clone().try_lock_owned().ok()
    }

    /// Begins to join `room`, with at most `limit` rooms (0: no limit; the personal room does not count). True if it was not in
    /// the room before.
    pub(in crate::hub) fn begin_join(
        &self,
        room: &RoomName,
        limit: usize,
    ) -> Result<bool, JoinError> {
        let is_new = self.memberships.begin_join(room, limit)?;
        if is_new {
            self.removals.forget(room);
        }
        Ok(is_new)
    }

    /// Sets the start offset of `room` from the reply to its join, unless it has one. False if it is not in the room any more.
    pub(in crate::hub) fn complete_join(&self, room: &RoomName, start_offset: Offset) -> bool {
        self.memberships.complete_join(room, start_offset)
    }

    /// Removes `room`; true if it was in the room.
    pub(in crate::hub) fn remove_room(&self, room: &RoomName) -> bool {
        lock(&self.application).granted.revoke(room);
        self.memberships.remove(room)
    }

    /// Leaves all rooms, joins none and receives nothing from now on. `None` if that was done before: the first caller
    /// cleans up after it.
    pub(super) fn leave_all(&self) -> Option<LeftRooms> {
        let left = self.memberships.leave_all()?;
        self.subscriber.close();
        Some(left)
    }

    /// Remembers that it was removed from `room`: its client may have disconnected without receiving that.
    pub(in crate::hub) fn note_removal(&self, room: &RoomName, reason: &str) {
        self.removals.push(room, reason);
    }

    /// Rooms and reasons of removals that its client may not have received.
    pub(in crate::hub) fn unconfirmed_removals(&self) -> Vec<(RoomName, String)> {
        self.removals.unconfirmed()
    }
}

/// What an embedding application keeps with it.
impl Connection {
    /// The state that the application keeps with this connection: a JSON object.
    pub fn state(&self) -> Option<Arc<RawValue>> {
        lock(&self.application).get()
    }

    /// What others are shown as a socket's `data`: that state, if it has at most `max_bytes`, or else the user.
    pub(crate) fn shown_data(&self, max_bytes: usize) -> Box<RawValue> {
        let state = self.state();
        if let Some(state) = state.filter(|state| state.get().len() <= max_bytes) {
            return (*state).to_owned();
        }
        let principal = self.principal();
        let user = json!({ "user": principal.user, "name": principal.name });
        to_raw_value(&user).expect("strings always serialize")
    }

    /// Replaces the state that the application keeps with this connection; `None` deletes it.
    ///
    /// # Errors
    /// Fails with `bad_request` if it is not a JSON object, and `too_large` if it has more than [`STATE_BYTES`](crate::hub::STATE_BYTES).
    pub fn set_state(&self, state: Option<Box<RawValue>>) -> Result<()> {
        lock(&self.application).set(state)
    }

    /// What a hook has decided about its identity.
    pub(in crate::hub) fn permitted_identity(&self) -> Option<Arc<PermittedIdentity>> {
        lock(&self.application).identity.clone()
    }

    /// Sets what a hook has decided about its identity.
    pub(in crate::hub) fn set_permitted_identity(&self, identity: PermittedIdentity) {
        lock(&self.application).identity = Some(identity.into());
    }

    /// Lets it be in a room that its identity may not join: the application has made it a member.
    pub(in crate::hub) fn grant_room(&self, room: &RoomName) {
        lock(&self.application).granted.grant(room);
    }

    /// The rooms that it has been let into by the application. During a takeover it has left them already.
    pub(super) fn granted_rooms(&self) -> GrantedRooms {
        lock(&self.application).granted.clone()
    }

    /// Whether the application has made it a member of a room.
    pub(in crate::hub) fn is_granted(&self, room: &RoomName) -> bool {
        lock(&self.application).granted.contains(room)
    }

    /// Whether it may be in a room by the grants of an identity, or because the application has made it a member.
    pub(in crate::hub) fn may_be_in(&self, principal: &Principal, room: &RoomName) -> bool {
        lock(&self.application).granted.may_be_in(principal, room)
    }

    /// What its session is to store of the application.
    pub(super) fn application_data(&self) -> ApplicationData {
        let rooms = self.sink().rooms();
        let count = rooms.len();
        let mut data = ApplicationData::new(rooms, self.state(), self.granted_rooms());
        data.identity = self.permitted_identity();
        if data.rooms.len() < count {
            let stored = data.rooms.len();
            log_in_bursts!(warn, rooms = count, stored, connection = %self.id, "too many application rooms: a session stores only some of them");
        }
        data
    }

    /// Restores what a resumed session has stored.
    pub(super) fn restore_application(&self, data: ApplicationData) {
        self.sink().rejoin_rooms(&data.rooms);
        *lock(&self.application) = ApplicationState::restored(data);
    }

    pub(super) fn is_application_stored(&self, text: Option<&str>) -> bool {
        lock(&self.application).is_stored(text)
    }

    pub(super) fn set_application_stored(&self, text: Option<String>) {
        lock(&self.application).set_stored(text);
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
