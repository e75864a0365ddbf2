//! Sessions that are resumed on another node: the connection that each had before is closed.

use std::time::Duration;

use super::request::ClusterRequest;
use crate::{
    hub::{CloseReason, Connection, Hub, connections::STORE_RETRY},
    model::ConnectionId,
};

/// How often this node tries to find out whether a session is still its own.
const RELEASE_ATTEMPTS: usize = 5;

impl Hub {
    /// Tells other nodes that the session of a connection is here now: the one that had it closes its connection.
    pub(in crate::hub) fn announce_session(&self, connection: &Connection) {
        if connection.pid().is_none() || self.cluster().is_single_node() {
            return;
        }
        let (hub, connection) = (self.clone(), connection.id());
        tokio::spawn(async move {
            let request = ClusterRequest::ReleaseSession { connection };
            let sent = hub.cluster().request::<()>(&request, Duration::ZERO).await;
            if let Err(error) = sent {
                tracing::debug!(%error, %connection, "another node was not told that a session was resumed here");
            }
        });
    }

    /// Closes a connection whose session has been resumed on another node. It leaves its rooms without notice: the user is in
    /// them there before the grace time is over here.
    pub(in crate::hub) async fn release_session(&self, connection: ConnectionId) {
        let Some(connection) = self.connection_table().get(&connection) else {
            return;
        };
        let mut backoff = STORE_RETRY;
        for _ in 0..RELEASE_ATTEMPTS {
            // A session that can be stored is this node's: it has come back here since.
            if self.save_session(&connection).await.is_ok() {
                return;
            }
            if self.backend().log.ready().await.is_ok() {
                self.unregister(&connection);
                connection.close(CloseReason::Replaced);
                return;
            }
            // While storage is unavailable no node knows whose session it is.
            backoff.wait().await;
        }
    }
}
