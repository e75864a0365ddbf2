//! What sessions share on this node: locks on those that are resumed, permits to read what connections have missed, and the new
//! ones that are not stored yet.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{ResumeLocks, UnsavedSessions};
use crate::hub::RecoverySettings;

/// The state of sessions on this node.
pub(in crate::hub) struct SessionTable {
    window: Duration,
    resume_locks: Arc<ResumeLocks>,
    catch_up_permits: Semaphore,
    unsaved: UnsavedSessions,
}

impl SessionTable {
    pub(in crate::hub) fn new(recovery: &RecoverySettings) -> Self {
        Self {
            window: recovery.window,
            resume_locks: Arc::default(),
            catch_up_permits: Semaphore::new(recovery.at_once),
            unsaved: UnsavedSessions::default(),
        }
    }

    /// How long a session can be resumed after its connection has ended; zero: not at all.
    pub(in crate::hub) fn window(&self) -> Duration {
        self.window
    }

    pub(super) fn resume_locks(&self) -> &Arc<ResumeLocks> {
        &self.resume_locks
    }

    /// The new sessions that are not stored yet.
    pub(super) fn unsaved(&self) -> &UnsavedSessions {
        &self.unsaved
    }

    /// Waits for a permit to read what a connection has missed.
    pub(super) async fn catch_up_permit(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed, so there is always a permit to wait for.
        self.catch_up_permits.acquire().await.ok()
    }
}
