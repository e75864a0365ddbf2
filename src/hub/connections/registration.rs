//! The connections of this node: adding one, and removing one from everything when it ends.

use std::{sync::Arc, time::Instant};

use dashmap::Entry;

use super::{CloseReason, Connection};
use crate::hub::Hub;

impl Hub {
    /// Adds a connection, in place of the one whose session it resumes.
    pub(super) fn register(&self, connection: &Arc<Connection>) {
        let (user, now) = (connection.principal().user.clone(), Instant::now());
        let grace = self.0.presence.grace;
        // The entry stays locked: the end of a connection with the same id comes before all of this, or finds that the connection
        // was replaced.
        let entry = self.0.connections.entry(connection.id());
        if matches!(entry, Entry::Vacant(_)) {
            let returned = self.0.last_seen.within(&user, grace, now);
            let user = connection.local_user();
            user.add_connection(connection.id(), returned, grace, now);
            self.0.metrics.connections.inc();
        }
        drop(entry.insert(connection.clone()));
        // Either the shutdown finds the connection in the table, or the connection sees here that the node is shutting down.
        if self.is_closing() {
            connection.close(CloseReason::Draining);
        }
    }

    /// Ends a connection: it leaves every room and joins none any more. Its session can be resumed for a while. Calling it
    /// again does nothing.
    pub fn disconnect(&self, connection: &Arc<Connection>) {
        if self.unregister(connection) && !self.ends_all_sessions(connection) {
            self.end_session(connection);
        }
    }

    /// Removes a connection from all rooms and from the table; true if that was not done before and no other connection has taken
    /// its place.
    pub(in crate::hub) fn unregister(&self, connection: &Arc<Connection>) -> bool {
        let Some(left) = connection.leave_all() else {
            return false;
        };
        for room in left.joined.keys().chain(&left.joining) {
            self.0
                .rooms
                .remove_member(&connection.key(room), connection);
        }
        let mut departed = None;
        let removed = self.0.connections.remove_if(&connection.id(), |_, found| {
            let is_it = Arc::ptr_eq(found, connection);
            if is_it {
                let user = connection.local_user();
                departed = user.remove_connection(connection.id(), Instant::now());
            }
            is_it
        });
        if removed.is_none() {
            return false;
        }
        self.0.metrics.connections.dec();
        if let Some(departed) = departed {
            let user = connection.principal().user.clone();
            self.0.last_seen.insert(user, departed);
        }
        true
    }
}
