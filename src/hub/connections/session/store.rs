//! Storing sessions, and recording their end.

use std::time::Instant;

use super::STORE_RETRY;
use crate::{
    backend::StoredSession,
    error::Result,
    hub::{Connection, Hub, connections::connection_closing},
    model::RoomName,
    retry::log_in_bursts,
};

impl Hub {
    /// Stores a connection's session as it is now.
    ///
    /// # Errors
    /// `unavailable` if the connection has ended, or storage fails.
    pub(in crate::hub) async fn save_session(&self, connection: &Connection) -> Result<()> {
        let _turn = connection.store_turn().await;
        self.store_session(connection, None, false).await
    }

    /// Stores a connection's session without a room, and removes the connection from the room when that is done. False if it was not in
    /// the room.
    ///
    /// # Errors
    /// As [`save_session`](Self::save_session); the connection stays in the room.
    pub(in crate::hub) async fn save_session_without(
        &self,
        connection: &Connection,
        room: &RoomName,
    ) -> Result<bool> {
        let _turn = connection.store_turn().await;
        self.store_session(connection, Some(room), false).await?;
        // Before anyone else's turn, who would store the room again.
        Ok(connection.remove_room(room))
    }

    /// Stores a connection's session for the first time on this node, which owns it from then on.
    ///
    /// # Errors
    /// As [`save_session`](Self::save_session), and if another node has claimed the session since it was read.
    pub(in crate::hub) async fn claim_session(&self, connection: &Connection) -> Result<()> {
        let _turn = connection.store_turn().await;
        self.store_session(connection, None, true).await
    }

    /// As [`claim_session`](Self::claim_session), and logs a failure. False if it has failed; a connection that has left meanwhile is not
    /// stored: its client is back already, or is gone for good.
    pub(super) async fn claim_or_log(&self, connection: &Connection) -> bool {
        if let Err(error) = self.claim_session(connection).await
            && connection.memberships().is_some()
        {
            log_in_bursts!(warn, %error, "failed to store a session: it cannot be resumed");
            return false;
        }
        true
    }

    /// Stores what the session is at this moment. In the connection's turn, or an older state could be stored over a newer one.
    async fn store_session(
        &self,
        connection: &Connection,
        without: Option<&RoomName>,
        claim: bool,
    ) -> Result<()> {
        let Some(session) = self.session_of(connection, without)? else {
            return Ok(());
        };
        let (pid, application) = (session.pid, session.application.clone());
        let sessions = &self.backend().sessions;
        let stored = match claim {
            true => sessions.claim(session).await,
            false => sessions.save(session).await,
        };
        if stored.is_ok() {
            self.sessions().unsaved().remove(pid);
            connection.set_application_stored(application);
        }
        // Its end may have been stored before this, and this would undo it for ever.
        if connection.memberships().is_none() {
            self.end_session(connection);
        }
        stored
    }

    /// What is to be stored of a connection; `None` if nothing is.
    fn session_of(
        &self,
        connection: &Connection,
        without: Option<&RoomName>,
    ) -> Result<Option<StoredSession>> {
        let Some(pid) = connection.pid() else {
            return Ok(None);
        };
        let mut rooms = connection.memberships().ok_or_else(connection_closing)?;
        let user = connection.principal().user.clone();
        if !rooms.contains_key(&RoomName::personal(&user)) {
            return Ok(None); // it is stored once the start offset of its personal room is known
        }
        if connection.is_stale(&self.backend().log.incarnation()) {
            return Ok(None); // its offsets would be taken for those of the new incarnation
        }
        let mut application = connection.application_data();
        if let Some(room) = without {
            rooms.shift_remove(room);
        }
        application.granted.retain_joined(&rooms);
        Ok(Some(StoredSession {
            pid,
            namespace: connection.namespace().clone(),
            user,
            connection: connection.id(),
            rooms: rooms.into_iter().collect(),
            application: application.to_text(),
            removals: connection.unconfirmed_removals(),
            claim_count: connection.claim_count(),
        }))
    }

    /// Stores what the application keeps with a connection, if that has changed. If that fails, it is logged, and retried with the
    /// next change.
    pub(crate) async fn save_application(&self, connection: &Connection) {
        if connection.pid().is_none() || connection.has_left_all() {
            return; // it has no session, or another connection has resumed that
        }
        let text = connection.application_data().to_text();
        if !connection.is_application_stored(text.as_deref())
            && let Err(error) = self.save_session(connection).await
        {
            log_in_bursts!(warn, %error, connection = %connection.id(), "failed to store the application state of a connection");
        }
    }

    /// Stores the end of a session, or deletes a session that ended for good. Runs in the background and retries for as long as the
    /// session could be resumed.
    pub(in crate::hub) fn end_session(&self, connection: &Connection) {
        let Some(pid) = connection.pid() else {
            return;
        };
        let (hub, id) = (self.clone(), connection.id());
        let delete = connection.has_ended_session();
        let ending = async move {
            let deadline = Instant::now() + hub.sessions().window();
            let mut retry = STORE_RETRY;
            loop {
                if hub.connection_table().contains(&id) {
                    return; // it has been resumed already
                }
                let sessions = &hub.backend().sessions;
                let ended = match delete {
                    true => sessions.forget(pid).await,
                    false => sessions.end(pid).await,
                };
                match ended {
                    Ok(()) => return,
                    Err(error) if Instant::now() > deadline => {
                        log_in_bursts!(warn, %error, "failed to store the end of a session");
                        return;
                    }
                    Err(_) => retry.wait().await,
                }
            }
        };
        // A connection that is dropped together with the runtime cannot wait; its session counts as ended when the store is
        // opened again.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(ending);
        }
    }

    /// Whether the end of this connection's session need not be stored: the node is shutting down, and a store of its own ends all
    /// sessions when it is opened again, or is gone.
    pub(in crate::hub) fn ends_all_sessions(&self, connection: &Connection) -> bool {
        let own_store = self.backend().cluster.is_none();
        self.connection_table().is_draining() && own_store && !connection.has_ended_session()
    }
}
