//! Sessions: a client that comes back goes on as the connection that it was.
//!
//! A session is kept in the backend under its `pid`, with the connection's id and its rooms, and is stored anew before a
//! change of the rooms is answered. Coming back is decided before the client is told ([`Hub::prepare_connection`]) and done after it
//! ([`Hub::connect`]); in between nothing has changed, so that a client that goes away again has lost nothing. Where it
//! cannot be shown that nothing is missing, a new session begins instead: that is never an error.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use dashmap::Entry;
use serde_json::json;

use super::{
    Connection, Entrant, EventSink, Hub, Outgoing,
    application::Application,
    connections::{CloseReason, Memberships},
    connections::{Lost, Subscriber},
    connections::{ResumeRequest, Resumed},
};
use crate::{
    auth::{Permission, Principal},
    backend::StoredSession,
    error::{Error, Result},
    model::{ConnectionId, Epoch, Namespace, Offset, Pid, RoomName},
    repeat::{Backoff, log_in_bursts},
};

/// An entrant of which it is decided whether it goes on with a session. Dropping it changes nothing.
#[derive(Debug)]
pub struct PreparedConnection {
    namespace: Namespace,
    entrant: Entrant,
    /// The id of its connection, if it is a new one.
    fresh: ConnectionId,
    pid: Option<Pid>,
    resumed: Option<Resumed>,
}

impl PreparedConnection {
    /// The namespace that it connects to.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Has it begin in `rooms`, each with the offset up to which nothing is to be given, and catch up from `given` on, in the
    /// log's present `life`.
    pub(super) fn begin_in(&mut self, rooms: Memberships, given: Offset, life: Epoch) {
        self.resumed = Some(Resumed {
            connection: self.fresh,
            rooms,
            given,
            life,
            claims: 0,
            old: None,
            application: Application::default(),
            lost: Vec::new(),
            _claim: None,
        });
    }

    /// The id of the connection that it becomes.
    pub fn connection(&self) -> ConnectionId {
        let resumed = self.resumed.as_ref();
        resumed.map_or(self.fresh, |resumed| resumed.connection)
    }

    /// The offset up to which its client has been given messages.
    pub fn given(&self) -> Offset {
        let resumed = self.resumed.as_ref();
        resumed.map_or(Offset(0), |resumed| resumed.given)
    }

    /// What to tell the client that it can resume its session by: what it named exactly if that goes on.
    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }
}

impl Hub {
    /// Admits one more connection of a user and decides whether it goes on with an earlier session. Its place is held
    /// until what this answers, or the connection that it becomes, is dropped. Fails when the user has too many, and with
    /// [`Code::Unavailable`] while the earlier session cannot be read.
    pub async fn prepare_connection(
        &self,
        namespace: Namespace,
        principal: Principal,
        resume: ResumeRequest,
    ) -> Result<PreparedConnection> {
        self.check_name(principal.user.as_str().len())?;
        let resumable = resume != ResumeRequest::Unsupported && !self.0.recovery.window.is_zero();
        let (named, resumed) = match resumable {
            true => match self.resume(&namespace, &principal, resume).await? {
                Some(Ok((pid, resumed))) => (Some(Ok(pid)), Some(resumed)),
                Some(Err(why)) => (Some(Err(why)), None),
                None => (None, None),
            },
            false => (None, None),
        };
        // The connection whose place it takes still counts, and would keep its own client out for as long as it has not
        // been noticed dead.
        let replaces = resumed.as_ref().is_some_and(|it| it.old.is_some());
        let most = match replaces {
            true => 0,
            false => self.0.limits.connections_per_user,
        };
        let entrant = self.admit(principal, most)?;
        if let Some(named) = &named {
            let user = &entrant.principal.user;
            self.note_return(&namespace, user, named.as_ref().err().copied());
        }
        let pid = named.and_then(Result::ok);
        Ok(PreparedConnection {
            namespace,
            entrant,
            pid: pid.or_else(|| resumable.then(Pid::generate)),
            fresh: ConnectionId::generate(),
            resumed,
        })
    }

    /// Makes an entrant a connection: from now on it gets what is sent to its user, by `outlet`. What `greet` pushes
    /// is the first that it gets; what its session has missed comes behind that.
    pub async fn connect(
        &self,
        arrived: PreparedConnection,
        outlet: Arc<dyn EventSink>,
        greet: impl FnOnce(&Connection),
    ) -> Arc<Connection> {
        let PreparedConnection {
            namespace,
            entrant,
            fresh,
            pid,
            resumed,
        } = arrived;
        let stored = resumed.as_ref().is_some_and(|it| it.old.is_none());
        let connection = match resumed {
            Some(resumed) => self.go_on(namespace, entrant, pid, resumed, outlet, greet),
            None => {
                let session = (fresh, pid);
                let connection = self.begin(namespace, entrant, session, outlet, greet);
                self.begin_personal(&connection).await;
                connection
            }
        };
        if stored && !self.heed_removals(&connection).await {
            return connection;
        }
        // A connection that has left meanwhile is not stored: its client has come back already, or has gone for good.
        if let Err(error) = self.store(&connection, None, true).await
            && connection.memberships().is_some()
        {
            log_in_bursts!(warn, %error, "a session could not be stored: it cannot be resumed");
            if stored && self.0.backend.cluster.is_some() {
                // It is still another node's, and whatever changed it here would be refused.
                connection.close(CloseReason::Unavailable);
                return connection;
            }
        }
        self.ask_status(&connection);
        if stored {
            self.have_let_go(&connection);
        }
        connection
    }

    /// Begins a new session.
    fn begin(
        &self,
        namespace: Namespace,
        entrant: Entrant,
        session: (ConnectionId, Option<Pid>),
        outlet: Arc<dyn EventSink>,
        greet: impl FnOnce(&Connection),
    ) -> Arc<Connection> {
        let connection = Arc::new_cyclic(|itself| {
            let feed = Subscriber::live(outlet, Offset(0), self.lost(itself));
            Connection::new(entrant, namespace, session, Memberships::new(), feed)
        });
        let personal = RoomName::personal(&connection.principal().user);
        // Nobody else has the connection yet, so it cannot have left for good.
        let entered = connection.enter(&personal, 0);
        debug_assert_eq!(entered, Ok(true));
        greet(&connection);
        self.register(&connection);
        connection.feed().begin_joining(&personal);
        self.0
            .rooms
            .add_member(&connection.key(&personal), &connection);
        connection
    }

    /// Goes on with a session: takes the place of its connection, or enters its rooms again if that has ended.
    fn go_on(
        &self,
        namespace: Namespace,
        entrant: Entrant,
        pid: Option<Pid>,
        resumed: Resumed,
        outlet: Arc<dyn EventSink>,
        greet: impl FnOnce(&Connection),
    ) -> Arc<Connection> {
        let taken = resumed.old.as_ref().and_then(|old| self.take_over(old));
        // Those of a connection that was there until now are newer than what was stored.
        let missed = resumed.old.as_ref().map_or(resumed.lost, |old| old.lost());
        let principal = entrant.principal.clone();
        let (rooms, lost): (Memberships, Memberships) = taken
            .unwrap_or(resumed.rooms)
            .into_iter()
            .partition(|(room, _)| principal.may(Permission::Join, room));
        let connection = Arc::new_cyclic(|itself| {
            let feed = Subscriber::behind(outlet, resumed.given, self.lost(itself));
            let session = (resumed.connection, pid);
            Connection::new(entrant, namespace, session, rooms.clone(), feed)
        });
        connection.begin_in(resumed.life);
        connection.found(resumed.claims);
        // What its last connection has is newer than what is stored.
        let old = resumed.old.as_ref().map(|old| old.application());
        connection.restore(old.unwrap_or(resumed.application));
        let turn = connection.first_turn();
        greet(&connection);
        self.register(&connection);
        for room in rooms.keys() {
            let key = connection.key(room);
            self.0.rooms.add_member(&key, &connection);
            // Also after a takeover: the old connection may have been a member without being shown yet, and its join
            // breaks off.
            self.announce_presence(&connection, &key);
            self.0.rooms.with(&key, |room| {
                room.send_typists(connection.id(), Instant::now());
            });
        }
        for room in lost.keys() {
            if let Some(old) = &resumed.old {
                self.0.rooms.remove_member(&connection.key(room), old);
            }
        }
        let forbidden = lost.into_keys().map(|room| (room, FORBIDDEN.to_owned()));
        self.tell_missed_losses(&connection, missed.into_iter().chain(forbidden));
        let (hub, behind) = (self.clone(), connection.clone());
        tokio::spawn(async move {
            let _turn = turn;
            hub.catch_up(&behind).await;
        });
        connection
    }

    /// Tells a client that has come back which rooms it was taken out of while it was away.
    fn tell_missed_losses(
        &self,
        connection: &Connection,
        lost: impl Iterator<Item = (RoomName, String)>,
    ) {
        let mut told = false;
        for (room, reason) in lost.filter(|(room, _)| !connection.is_in(room)) {
            connection.note_lost(&room, &reason);
            connection.push(&kicked(&room, &reason));
            told = true;
        }
        if told {
            self.forget_lost(connection);
        }
    }

    /// Ends a connection whose client has come back on another one: answers the rooms, in which it stays a member until
    /// the other takes its place. `None` if it has ended by itself.
    fn take_over(&self, old: &Connection) -> Option<Memberships> {
        let (rooms, joining) = old.leave_for_good()?;
        for room in joining {
            self.0.rooms.remove_member(&old.key(&room), old);
        }
        old.close(CloseReason::Replaced);
        Some(rooms)
    }

    /// Makes a connection known, in place of the one whose session it goes on with.
    fn register(&self, connection: &Arc<Connection>) {
        let (user, now) = (connection.principal().user.clone(), Instant::now());
        let grace = self.0.presence.grace;
        // The entry stays locked, so that the end of a connection with the same id comes before all of this or finds
        // itself replaced.
        let entry = self.0.connections.entry(connection.id());
        if matches!(entry, Entry::Vacant(_)) {
            let back = self.0.last_seen.within(&user, grace, now);
            let standing = connection.standing();
            standing.connected(connection.id(), back, grace, now);
            self.0.metrics.connections.inc();
        }
        drop(entry.insert(connection.clone()));
        // Either it is found among the connections after that was said, or it sees here that it was.
        if self.is_closing() {
            connection.close(CloseReason::Draining);
        }
    }

    /// Ends a connection's part: it leaves every room and enters none any more, and its session can be resumed for a
    /// while. Calling it again does nothing.
    pub fn disconnect(&self, connection: &Arc<Connection>) {
        if self.depart(connection) && !self.ends_all_sessions(connection) {
            self.end_session(connection);
        }
    }

    /// Takes a connection out of everything; true if that was not done before, and no other goes on in its place.
    pub(super) fn depart(&self, connection: &Arc<Connection>) -> bool {
        let Some((rooms, joining)) = connection.leave_for_good() else {
            return false;
        };
        for room in rooms.keys().chain(&joining) {
            self.0
                .rooms
                .remove_member(&connection.key(room), connection);
        }
        let mut gone = None;
        let removed = self.0.connections.remove_if(&connection.id(), |_, found| {
            let is_it = Arc::ptr_eq(found, connection);
            if is_it {
                let standing = connection.standing();
                gone = standing.disconnected(connection.id(), Instant::now());
            }
            is_it
        });
        if removed.is_none() {
            return false;
        }
        self.0.metrics.connections.dec();
        if let Some(gone) = gone {
            let user = connection.principal().user.clone();
            self.0.last_seen.note(user, gone);
        }
        true
    }

    /// Whether nobody has to note the end of this connection's session: the node is going down, and a store of its own ends
    /// all sessions when it is opened again, or is gone.
    fn ends_all_sessions(&self, connection: &Connection) -> bool {
        let own_store = self.0.backend.cluster.is_none();
        self.is_closing() && own_store && !connection.is_ended_for_good()
    }

    /// Notes that a session has ended, or forgets one that ended for good.
    fn end_session(&self, connection: &Connection) {
        let Some(pid) = connection.pid() else {
            return;
        };
        let (hub, id, for_good) = (
            self.clone(),
            connection.id(),
            connection.is_ended_for_good(),
        );
        let ending = async move {
            let give_up = Instant::now() + hub.0.recovery.window;
            let mut again = TRY_AGAIN;
            loop {
                if hub.0.connections.contains_key(&id) {
                    return; // it goes on already
                }
                let sessions = &hub.0.backend.sessions;
                let ended = match for_good {
                    true => sessions.forget(pid).await,
                    false => sessions.end(pid).await,
                };
                match ended {
                    Ok(()) => return,
                    Err(error) if Instant::now() > give_up => {
                        log_in_bursts!(warn, %error, "the end of a session could not be noted");
                        return;
                    }
                    Err(_) => again.wait().await,
                }
            }
        };
        // A connection that is dropped with the runtime itself has nobody to wait for; its session counts as ended when
        // the store is opened again.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(ending);
        }
    }

    /// Stores a connection's session as it is now, but `without` a room that it is about to leave.
    pub(super) async fn save(
        &self,
        connection: &Connection,
        without: Option<&RoomName>,
    ) -> Result<()> {
        self.store(connection, without, false).await
    }

    /// As [`save`](Self::save); `claim`: for the first time on this node.
    pub(super) async fn store(
        &self,
        connection: &Connection,
        without: Option<&RoomName>,
        claim: bool,
    ) -> Result<()> {
        let Some(pid) = connection.pid() else {
            return Ok(());
        };
        let mut rooms = connection.memberships().ok_or_else(closing)?;
        if !rooms.contains_key(&RoomName::personal(&connection.principal().user)) {
            return Ok(()); // it is stored once its start is known
        }
        if connection.has_outlived(&self.0.backend.log.incarnation()) {
            return Ok(()); // its offsets would be taken for those of the new life
        }
        if let Some(room) = without {
            rooms.shift_remove(room);
        }
        let session = StoredSession {
            pid,
            namespace: connection.namespace().clone(),
            user: connection.principal().user.clone(),
            connection: connection.id(),
            rooms: rooms.into_iter().collect(),
            application: connection.application_text(),
            lost: connection.lost(),
            claims: connection.claims(),
        };
        let application = session.application.clone();
        let sessions = &self.0.backend.sessions;
        let saved = match claim {
            true => sessions.claim(session).await,
            false => sessions.save(session).await,
        };
        if saved.is_ok() {
            connection.application_stored(application);
        }
        // Its end may have been noted before this, and would be undone by it for ever.
        if connection.memberships().is_none() {
            self.end_session(connection);
        }
        saved
    }

    /// What a connection's feed calls when it has let messages go.
    fn lost(&self, connection: &Weak<Connection>) -> Lost {
        let (hub, connection) = (Arc::downgrade(&self.0), connection.clone());
        Box::new(move || {
            if let (Some(hub), Some(connection)) = (hub.upgrade(), connection.upgrade()) {
                tokio::spawn(Hub(hub).catch_up_in_turn(connection));
            }
        })
    }
}

/// How soon is tried again what the log could not answer or store. Every connection may have something to try: they wait
/// longer each time, and at random.
pub(super) const TRY_AGAIN: Backoff =
    Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// A connection may not be in this room any more: the reason that is told.
pub(super) const FORBIDDEN: &str = "forbidden";

/// A room was left by no wish of its connection's.
pub(super) fn kicked(room: &RoomName, reason: &str) -> Arc<Outgoing> {
    let told = json!({ "room": room, "reason": reason });
    Outgoing::room_notice("kicked", room, &told)
}

/// The connection has ended, or goes on as another one.
pub(super) fn closing() -> Error {
    Error::unavailable("the connection is closing")
}

#[cfg(test)]
mod tests;
