//! Locks on sessions: of several clients that name the same session at once, one resumes it.

use std::{sync::Arc, time::Duration};

use dashmap::DashSet;
use tokio::sync::Notify;

use crate::{
    error::{Error, Result},
    model::Pid,
};

/// How long a client waits for another one that has named the same session.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The sessions that are about to be resumed on this node.
#[derive(Debug, Default)]
pub(in crate::hub) struct ResumeLocks {
    locked: DashSet<Pid>,
    released: Notify,
}

/// The exclusive right to resume one session, released when it is dropped.
#[derive(Debug)]
pub(super) struct ResumeLock {
    locks: Arc<ResumeLocks>,
    pid: Pid,
}

impl ResumeLocks {
    /// Waits until no other client is about to resume the session: a client that loses the network again may come back while its
    /// first return is still being decided.
    ///
    /// # Errors
    /// `unavailable` after [`LOCK_TIMEOUT`].
    pub(super) async fn acquire(self: &Arc<Self>, pid: Pid) -> Result<ResumeLock> {
        let acquire = async {
            loop {
                let mut released = std::pin::pin!(self.released.notified());
                released.as_mut().enable();
                if self.locked.insert(pid) {
                    return ResumeLock {
                        locks: self.clone(),
                        pid,
                    };
                }
                released.await;
            }
        };
        let acquired = tokio::time::timeout(LOCK_TIMEOUT, acquire).await;
        acquired.map_err(|_| {
            Error::unavailable("another connection is resuming this session; try again")
        })
    }
}

impl Drop for ResumeLock {
    fn drop(&mut self) {
        self.locks.locked.remove(&self.pid);
        self.locks.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
