//! The second half of connecting: a prepared connection becomes a live one, in a new session or in place of the connection whose
//! session it resumes.

use std::sync::{Arc, Weak};

use super::{prepare::PreparedConnection, resume::ResumedSession};
use crate::{
    hub::{
        AdmittedUser, Connection, EventSink, Hub,
        commands::HookDecision,
        connections::{
            CatchUpTrigger, CloseReason, FORBIDDEN_REASON, Memberships, Subscriber, kicked_event,
        },
    },
    model::{ConnectionId, Namespace, Offset, Pid, RoomName},
    retry::log_in_bursts,
};

/// Identity and destination of a connection that is being opened.
struct NewConnection {
    namespace: Namespace,
    admitted: AdmittedUser,
    session: (ConnectionId, Option<Pid>),
    sink: Arc<dyn EventSink>,
}

impl Hub {
    /// Opens a prepared connection: from now on it receives events through `sink`. What `greet` pushes comes first, behind that
    /// the messages that a resumed session has missed.
    pub(crate) async fn connect(
        &self,
        prepared: PreparedConnection,
        sink: Arc<dyn EventSink>,
        greet: impl FnOnce(&Connection),
    ) -> Arc<Connection> {
        let PreparedConnection {
            namespace,
            admitted,
            new_id,
            pid,
            resumed,
            decided,
        } = prepared;
        // Its session was read from the store, not taken over from a live connection to this node.
        let was_stored = resumed.as_ref().is_some_and(|it| it.live.is_none());
        let is_new = resumed.is_none();
        let new = |id| NewConnection {
            namespace,
            admitted,
            session: (id, pid),
            sink,
        };
        let connection = match resumed {
            Some(resumed) => self.resume_session(new(resumed.connection), resumed, greet),
            None => {
                let connection = self.begin_session(new(new_id), greet);
                self.start_personal_room(&connection).await;
                connection
            }
        };
        let join = decided.map_or_else(Vec::new, |decided| self.begin_as(&connection, decided));
        if was_stored && !self.apply_missed_removals(&connection).await {
            return connection;
        }
        if is_new && self.backend().cluster.is_none() {
            self.save_session_soon(&connection);
        } else if !self.claim_for_this_node(&connection, was_stored).await {
            return connection;
        }
        self.request_status_from_nodes(&connection);
        if was_stored {
            self.announce_session(&connection);
        }
        self.enforce_policies_on(&connection);
        for room in join {
            if let Err(error) = self.admit(&connection, &room).await {
                log_in_bursts!(warn, %error, %room, "a hook's reply to connect names a room that cannot be joined");
            }
        }
        connection
    }

    /// Stores the session as one of this node's. False if the connection cannot go on without that.
    async fn claim_for_this_node(&self, connection: &Connection, was_stored: bool) -> bool {
        let claimed = self.claim_or_log(connection).await;
        if !claimed && was_stored && self.backend().cluster.is_some() {
            // It still belongs to another node, and changes on this one would be refused.
            connection.close(CloseReason::Unavailable);
            return false;
        }
        true
    }

    /// Gives a new connection what a hook has decided. Returns the rooms that it is to join.
    fn begin_as(&self, connection: &Connection, decided: HookDecision) -> Vec<RoomName> {
        let HookDecision {
            identity,
            join,
            state,
        } = decided;
        connection.set_permitted_identity(identity);
        if let Err(error) = connection.set_state(state) {
            log_in_bursts!(warn, %error, "a hook's reply to connect has a wrong state");
        }
        join
    }

    /// Opens a connection with a new session.
    fn begin_session(
        &self,
        new: NewConnection,
        greet: impl FnOnce(&Connection),
    ) -> Arc<Connection> {
        let connection = Arc::new_cyclic(|itself| {
            let trigger = self.catch_up_trigger(itself);
            let subscriber = Subscriber::live(new.sink, Offset(0), trigger);
            let rooms = Memberships::new();
            Connection::new(new.admitted, new.namespace, new.session, rooms, subscriber)
        });
        let personal = RoomName::personal(&connection.principal().user);
        // No other task has the connection yet, so it cannot have left all rooms.
        let entered = connection.begin_join(&personal, 0);
        debug_assert_eq!(entered, Ok(true));
        greet(&connection);
        self.connection_table().register(&connection);
        connection.subscriber().hold_room(&personal);
        self.rooms()
            .add_member(&connection.room_key(&personal), &connection);
        connection
    }

    /// Opens a connection that resumes a session: it takes over the session's live connection, or joins the stored rooms again.
    fn resume_session(
        &self,
        new: NewConnection,
        resumed: ResumedSession,
        greet: impl FnOnce(&Connection),
    ) -> Arc<Connection> {
        let live = resumed.live;
        // What a live connection has is newer than what was stored.
        let taken = live.as_ref().and_then(|live| self.take_over(live));
        let removals = live
            .as_ref()
            .map_or(resumed.removals, |live| live.unconfirmed_removals());
        let application = live.as_ref().map(|live| live.application_data());
        let mut application = application.unwrap_or(resumed.application);
        let principal = new.admitted.principal.clone();
        let is_verified = new.admitted.unverified_address.is_none();
        let (rooms, forbidden): (Memberships, Memberships) = taken
            .unwrap_or(resumed.rooms)
            .into_iter()
            .partition(|(room, _)| {
                let granted = &application.granted;
                granted.contains(room)
                    || granted.may_be_in(&principal, room) && self.policy_lets_in(room, is_verified)
            });
        application.granted.retain_joined(&rooms);
        let connection = Arc::new_cyclic(|itself| {
            let trigger = self.catch_up_trigger(itself);
            let subscriber = Subscriber::behind(new.sink, resumed.received, trigger);
            let connection = Connection::new(
                new.admitted,
                new.namespace,
                new.session,
                rooms.clone(),
                subscriber,
            );
            match &live {
                Some(live) => connection.in_place_of(live),
                None => connection,
            }
        });
        connection.set_incarnation(resumed.incarnation);
        connection.set_claim_count(resumed.claim_count);
        connection.restore_application(application);
        let guard = connection.try_lock_memberships();
        greet(&connection);
        self.connection_table().register(&connection);
        self.enter_rooms(&connection, rooms.keys());
        if let Some(live) = &live {
            for room in forbidden.keys() {
                self.rooms().remove_member(&connection.room_key(room), live);
            }
        }
        let forbidden = forbidden.into_keys();
        let forbidden = forbidden.map(|room| (room, FORBIDDEN_REASON.to_owned()));
        self.send_missed_removals(&connection, removals.into_iter().chain(forbidden));
        let (hub, resumed) = (self.clone(), connection.clone());
        tokio::spawn(async move {
            let _guard = guard;
            hub.catch_up(&resumed).await;
        });
        connection
    }

    /// Ends a live connection whose client has resumed its session on another one. Returns its rooms, of which it stays a member
    /// until the other one takes its place. `None` if it has ended by itself.
    fn take_over(&self, live: &Connection) -> Option<Memberships> {
        let left = live.leave_all()?;
        for room in left.joining {
            self.rooms().remove_member(&live.room_key(&room), live);
        }
        live.close(CloseReason::Replaced);
        Some(left.joined)
    }

    /// Makes a resumed connection a member of its rooms.
    fn enter_rooms<'a>(
        &self,
        connection: &Arc<Connection>,
        rooms: impl Iterator<Item = &'a RoomName>,
    ) {
        for room in rooms {
            let key = connection.room_key(room);
            self.rooms().add_member(&key, connection);
            // Also after a takeover: the old connection may have been a member that was not present yet, and its join has been
            // cancelled.
            self.announce_presence(connection, &key);
        }
    }

    /// Sends a client that has resumed its session the rooms that it was removed from while it was away.
    fn send_missed_removals(
        &self,
        connection: &Connection,
        removals: impl Iterator<Item = (RoomName, String)>,
    ) {
        let mut sent = false;
        for (room, reason) in removals.filter(|(room, _)| !connection.is_in(room)) {
            connection.note_removal(&room, &reason);
            connection.push(&kicked_event(&room, &reason));
            sent = true;
        }
        if sent {
            self.schedule_removals_cleanup(connection);
        }
    }

    /// What a connection's subscriber calls when it has dropped messages.
    fn catch_up_trigger(&self, connection: &Weak<Connection>) -> CatchUpTrigger {
        let (hub, connection) = (self.downgrade(), connection.clone());
        Box::new(move || {
            if let (Some(hub), Some(connection)) = (hub.upgrade(), connection.upgrade()) {
                tokio::spawn(hub.lock_and_catch_up(connection));
            }
        })
    }
}
