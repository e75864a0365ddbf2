//! Which connections of this node have a worker, by id, so that a resumed session is announced to the application in order: the end of
//! the connection before, then the beginning of the one that has taken its place.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use crate::{model::ConnectionId, sync::lock};

/// The running workers of a namespace with handlers of beginnings and ends.
#[derive(Default)]
pub(super) struct Succession {
    running: Mutex<HashMap<ConnectionId, Running>>,
    next: AtomicU64,
}

#[derive(Clone)]
struct Running {
    number: u64,
    ended: CancellationToken,
}

/// Held by a worker until the application has been told of its end.
pub(super) struct Place {
    succession: Arc<Succession>,
    id: ConnectionId,
    own: Running,
    before: Option<CancellationToken>,
}

impl Succession {
    /// Takes the place of the connection that had this id before.
    pub(super) fn enter(self: &Arc<Self>, id: ConnectionId) -> Place {
        let own = Running {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            ended: CancellationToken::new(),
        };
        let before = lock(&self.running).insert(id, own.clone());
        Place {
            succession: self.clone(),
            id,
            own,
            before: before.map(|before| before.ended),
        }
    }
}

impl Place {
    /// Waits until the application has been told of the end of the connection before, if there was one.
    pub(super) async fn predecessor_ended(&self) {
        if let Some(before) = &self.before {
            before.cancelled().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = lock(&self.succession.running);
        if running
            .get(&self.id)
            .is_some_and(|last| last.number == self.own.number)
        {
            running.remove(&self.id);
        }
        drop(running);
        self.own.ended.cancel();
    }
}

#[cfg(test)]
mod tests;
