//! Connections that outlive the incarnation of the log in which they began: their clients are made to come back, and are told then that
//! they begin anew.
//!
//! What they were given is numbered by an incarnation of which something was lost. Nothing in the live stream would tell them so.

use std::time::Duration;

use crate::hub::{CloseReason, Hub};

/// How often it is looked whether another incarnation has begun.
const LOOK: Duration = Duration::from_secs(1);

/// How many connections are closed at a time, and how long apart: all come back at once.
const AT_ONCE: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);

impl Hub {
    /// Closes connections of earlier incarnations, for as long as it is polled.
    pub(in crate::hub) async fn close_outlived(&self) {
        let log = &self.0.backend.log;
        let mut known = log.incarnation();
        loop {
            tokio::time::sleep(LOOK).await;
            let life = log.incarnation();
            if life == known {
                continue;
            }
            known = life;
            let mut outlived = self.connections();
            outlived.retain(|connection| connection.has_outlived(&known));
            tracing::warn!(
                connections = outlived.len(),
                "the log has begun another incarnation; clients are made to come back and begin anew"
            );
            for some in outlived.chunks(AT_ONCE) {
                for connection in some {
                    connection.close(CloseReason::Unavailable);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
