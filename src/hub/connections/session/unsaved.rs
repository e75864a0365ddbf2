//! Sessions that have begun and are not stored yet. Most clients join a room at once, and that stores the session anyway: so a new
//! session is stored with the first join, or by itself when none has come for a moment, or when the connection ends.
//!
//! Only where the store is this process's own: over several nodes a session says at once whose it is.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{
    backend::StoredSession,
    error::Result,
    hub::{Connection, Hub},
    model::Pid,
    sync::lock,
};

/// How long a session waits for a join: clients that join a room at once do so within a round trip.
const PATIENCE: Duration = Duration::from_millis(200);

/// The new sessions of this node that are not stored yet. One that is being stored is among them until it is stored, for a client that comes
/// back meanwhile.
#[derive(Default)]
pub(in crate::hub) struct UnsavedSessions {
    // A std mutex: it is held for a few map operations and never across an await.
    state: Mutex<State>,
    added: Notify,
}

#[derive(Default)]
struct State {
    connections: HashMap<Pid, Weak<Connection>>,
    /// When they have waited long enough, the earliest first; also of those that are stored by now.
    due: VecDeque<(Instant, Pid)>,
}

impl UnsavedSessions {
    fn add(&self, pid: Pid, connection: &Arc<Connection>) {
        let mut state = lock(&self.state);
        state.connections.insert(pid, Arc::downgrade(connection));
        state.due.push_back((Instant::now() + PATIENCE, pid));
        if state.due.len() == 1 {
            self.added.notify_one();
        }
    }

    /// Removes a session that has been stored, or will never be.
    pub(super) fn remove(&self, pid: Pid) {
        lock(&self.state).connections.remove(&pid);
    }

    fn get(&self, pid: Pid) -> Option<Arc<Connection>> {
        lock(&self.state).connections.get(&pid)?.upgrade()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.state).connections.is_empty()
    }

    /// Waits until sessions have waited long enough, and returns their connections.
    async fn take_due(&self) -> Vec<Arc<Connection>> {
        loop {
            let first = lock(&self.state).due.front().map(|(at, _)| *at);
            match first {
                Some(at) => {
                    sleep_until(at).await;
                    return lock(&self.state).take_due(Instant::now());
                }
                None => self.added.notified().await,
            }
        }
    }
}

impl State {
    fn take_due(&mut self, now: Instant) -> Vec<Arc<Connection>> {
        let mut due = Vec::new();
        while let Some((_, pid)) = self.due.pop_front_if(|(at, _)| *at <= now) {
            match self.connections.get(&pid).map(Weak::upgrade) {
                Some(Some(connection)) => due.push(connection),
                Some(None) => drop(self.connections.remove(&pid)),
                None => {}
            }
        }
        due
    }
}

impl Hub {
    /// Leaves a new session to the first join, or stores it soon.
    pub(super) fn save_session_soon(&self, connection: &Arc<Connection>) {
        if let Some(pid) = connection.pid() {
            self.sessions().unsaved().add(pid, connection);
        }
    }

    /// Stores new sessions that no join has stored. Runs until dropped.
    pub(in crate::hub) async fn save_new_sessions(&self) {
        loop {
            let due = self.sessions().unsaved().take_due().await;
            join_all(due.iter().map(|new| self.save_if_new(new))).await;
        }
    }

    /// Stores the session of a connection, unless that has been done since it began.
    pub(crate) async fn save_if_new(&self, connection: &Connection) {
        let unsaved = self.sessions().unsaved();
        let Some(pid) = connection.pid().filter(|pid| unsaved.get(*pid).is_some()) else {
            return;
        };
        // One that has ended for good is not stored to be deleted.
        if !connection.has_ended_session() {
            self.claim_or_log(connection).await;
        }
        unsaved.remove(pid);
    }

    /// The session of `pid`, as its connection has it by now if it has just begun.
    ///
    /// # Errors
    /// `unavailable` while it cannot be read, or stored.
    pub(super) async fn find_session(&self, pid: Pid) -> Result<Option<StoredSession>> {
        if let Some(connection) = self.sessions().unsaved().get(pid)
            && !connection.has_ended_session()
            && connection.memberships().is_some()
        {
            self.claim_session(&connection).await?;
        }
        self.backend().sessions.find(pid).await
    }
}
