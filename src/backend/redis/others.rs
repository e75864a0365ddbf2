//! Which other nodes live, as far as this one has heard: those whose answers are waited for.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::model::NodeId;

#[derive(Default)]
pub(super) struct Others(
    // A std mutex: it is held for a look, and never across an await.
    Mutex<State>,
);

#[derive(Default)]
struct State {
    living: HashSet<NodeId>,
    /// Those that stop and still have a lease.
    stopping: HashSet<NodeId>,
}

impl Others {
    pub(super) fn living(&self) -> HashSet<NodeId> {
        self.lock().living.clone()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().living.len()
    }

    /// Notes that a node has begun to live, unless it stops already.
    pub(super) fn meet(&self, node: NodeId) {
        let mut state = self.lock();
        if !state.stopping.contains(&node) {
            state.living.insert(node);
        }
    }

    /// Notes that a node stops: it answers no more, though its lease goes on for a while.
    pub(super) fn part(&self, node: NodeId) {
        let mut state = self.lock();
        state.living.remove(&node);
        state.stopping.insert(node);
    }

    /// Notes which nodes have a lease. Unless that is `sure`, Redis may have lost leases: those that lived before may live still.
    pub(super) fn have_leases(&self, nodes: Vec<NodeId>, sure: bool) {
        let mut state = self.lock();
        let State { living, stopping } = &mut *state;
        if sure {
            living.clear();
        }
        stopping.retain(|node| nodes.contains(node));
        living.extend(nodes.into_iter().filter(|node| !stopping.contains(node)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
