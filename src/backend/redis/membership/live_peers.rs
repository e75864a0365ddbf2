//! Which other nodes are alive, as far as this one knows: those whose responses are waited for.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard},
};

use crate::{model::NodeId, sync::lock};

#[derive(Default)]
pub(crate) struct LivePeers(
    // A std mutex: it is held for a few assignments, and never across an await.
    Mutex<PeerState>,
);

#[derive(Default)]
struct PeerState {
    alive: HashSet<NodeId>,
    /// Nodes that are stopping and still hold a lease.
    stopping: HashSet<NodeId>,
}

impl LivePeers {
    pub(crate) fn alive(&self) -> HashSet<NodeId> {
        self.lock().alive.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().alive.len()
    }

    /// A node has started. Ignored if it is stopping already.
    pub(crate) fn add(&self, node: NodeId) {
        let mut state = self.lock();
        if !state.stopping.contains(&node) {
            state.alive.insert(node);
        }
    }

    /// A node is stopping: it no longer responds, although it still holds a lease.
    pub(crate) fn mark_stopping(&self, node: NodeId) {
        let mut state = self.lock();
        state.alive.remove(&node);
        state.stopping.insert(node);
    }

    /// Updates which nodes hold a lease, and returns those that do not any more. Unless `confirmed`, Redis may have lost leases: nodes
    /// that were alive may be so still, and are kept.
    pub(crate) fn update_leases(&self, nodes: Vec<NodeId>, confirmed: bool) -> Vec<NodeId> {
        let mut state = self.lock();
        let PeerState { alive, stopping } = &mut *state;
        let has_none = |node: &NodeId| !nodes.contains(node);
        let mut gone: Vec<_> = stopping.extract_if(has_none).collect();
        if confirmed {
            gone.extend(alive.extract_if(has_none));
        }
        alive.extend(nodes.into_iter().filter(|node| !stopping.contains(node)));
        gone
    }

    fn lock(&self) -> MutexGuard<'_, PeerState> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests;
