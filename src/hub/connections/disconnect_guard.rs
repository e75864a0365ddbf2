//! Ties the end of a connection to the end of its task.

use std::sync::Arc;

use super::{CloseReason, Connection};
use crate::hub::Hub;

/// Disconnects a connection when it is dropped, which its task does however it ends. Without it, a task that panics (perhaps in a
/// handler of the application) would leave a member behind that is sent events for ever and whose requests nobody handles.
pub struct DisconnectGuard {
    hub: Hub,
    connection: Arc<Connection>,
}

impl DisconnectGuard {
    /// A guard for the connection's task to hold.
    pub fn new(hub: &Hub, connection: &Arc<Connection>) -> Self {
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
