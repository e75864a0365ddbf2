//! Closes connections that began in an earlier incarnation of the log. Their clients reconnect, and learn then that they begin
//! anew.
//!
//! The offsets that they have received belong to an incarnation of which something was lost. Nothing in the live stream would
//! tell them so.

use std::time::Duration;

use super::CloseReason;
use crate::hub::Hub;

/// How often the log is checked for a new incarnation.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How many connections are closed at a time, and how long apart: all of them reconnect at once.
const CLOSE_BATCH: usize = 100;
const CLOSE_INTERVAL: Duration = Duration::from_millis(100);

impl Hub {
    /// Closes connections of earlier incarnations. Runs until dropped.
    pub(in crate::hub) async fn close_stale_connections(&self) {
        let log = &self.backend().log;
        let mut current = log.incarnation();
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let incarnation = log.incarnation();
            if incarnation == current {
                continue;
            }
            current = incarnation;
            let mut stale = self.connections();
            stale.retain(|connection| connection.is_stale(&current));
            tracing::warn!(
                connections = stale.len(),
                "the log has begun a new incarnation; closing connections of earlier ones"
            );
            for batch in stale.chunks(CLOSE_BATCH) {
                for connection in batch {
                    connection.close(CloseReason::Unavailable);
                }
                tokio::time::sleep(CLOSE_INTERVAL).await;
            }
        }
    }
}
