//! The end of a connection's part, tied to the end of its task.

use std::sync::Arc;

use crate::hub::{CloseReason, Connection, Hub};

/// Ends a connection's part when its task ends, however it does: one that panics, in a handler of the application's
/// perhaps, would leave a member that is sent to for ever and whose requests nobody handles.
pub struct DisconnectGuard {
    hub: Hub,
    connection: Arc<Connection>,
}

impl DisconnectGuard {
    /// Of a connection; for its task to hold.
    pub fn of(hub: &Hub, connection: &Arc<Connection>) -> Self {
        Self {
            hub: hub.clone(),
            connection: connection.clone(),
        }
    }
}

impl Drop for DisconnectGuard {
    fn drop(&mut self) {
        self.hub.disconnect(&self.connection);
        if std::thread::panicking() {
            self.connection.close(CloseReason::Failed);
        }
    }
}
