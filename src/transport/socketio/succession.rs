//! Which connections of this node have a worker, by id, so that a resumed session is announced to the application in order: the end of
//! the connection before, then the beginning of the one that has taken its place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio_util::sync::CancellationToken;

use crate::{model::ConnectionId, sync::lock};

/// The running workers of a namespace with handlers of beginnings and ends: each is a token that is cancelled when the application has been
/// told of its end.
#[derive(Default)]
pub(super) struct Succession(Mutex<HashMap<ConnectionId, Arc<CancellationToken>>>);

/// Held by a worker until the application has been told of its end.
pub(super) struct Place {
    succession: Arc<Succession>,
    id: ConnectionId,
    own: Arc<CancellationToken>,
    before: Option<Arc<CancellationToken>>,
}

impl Succession {
    /// Takes the place of the connection that had this id before.
    pub(super) fn enter(self: &Arc<Self>, id: ConnectionId) -> Place {
        let own = Arc::<CancellationToken>::default();
        Place {
            succession: self.clone(),
            id,
            before: lock(&self.0).insert(id, own.clone()),
            own,
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
        let mut running = lock(&self.succession.0);
        if running
            .get(&self.id)
            .is_some_and(|last| Arc::ptr_eq(last, &self.own))
        {
            running.remove(&self.id);
        }
        drop(running);
        self.own.cancel();
    }
}

#[cfg(test)]
mod tests;
