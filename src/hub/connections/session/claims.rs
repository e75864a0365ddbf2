//! Claims on sessions: of several clients that name the same session at once, one resumes it.

use std::{sync::Arc, time::Duration};

use dashmap::DashSet;
use tokio::sync::Notify;

use crate::{
    error::{Error, Result},
    model::Pid,
};

/// How long a client waits for another one that has named the same session.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

/// The sessions that are about to be resumed on this node.
#[derive(Debug, Default)]
pub(in crate::hub) struct SessionClaims {
    claimed: DashSet<Pid>,
    released: Notify,
}

/// The exclusive right to resume one session, released when it is dropped.
#[derive(Debug)]
pub(super) struct SessionClaim {
    claims: Arc<SessionClaims>,
    pid: Pid,
}

impl SessionClaims {
    /// Waits until no other client is about to resume the session: a client that loses the network again may come back while its
    /// first return is still being decided.
    ///
    /// # Errors
    /// `unavailable` after [`CLAIM_TIMEOUT`].
    pub(super) async fn claim(self: &Arc<Self>, pid: Pid) -> Result<SessionClaim> {
        let claim = async {
            loop {
                let mut released = std::pin::pin!(self.released.notified());
                released.as_mut().enable();
                if self.claimed.insert(pid) {
                    return SessionClaim {
                        claims: self.clone(),
                        pid,
                    };
                }
                released.await;
            }
        };
        let claimed = tokio::time::timeout(CLAIM_TIMEOUT, claim).await;
        claimed.map_err(|_| {
            Error::unavailable("another connection is resuming this session; try again")
        })
    }
}

impl Drop for SessionClaim {
    fn drop(&mut self) {
        self.claims.claimed.remove(&self.pid);
        self.claims.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
