//! The end of a connection: it is removed from everything.

use std::sync::Arc;

use super::Connection;
use crate::hub::Hub;

impl Hub {
    /// Ends a connection: it leaves every room and joins none any more. Its session can be resumed for a while. Calling it
    /// again does nothing.
    pub(crate) fn disconnect(&self, connection: &Arc<Connection>) {
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
            self.rooms()
                .remove_member(&connection.room_key(room), connection);
        }
        self.connection_table().remove(connection)
    }
}
