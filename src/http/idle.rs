//! Idle TCP connections: no complete request head has arrived yet, or the last response is sent and the peer has not closed.
//!
//! Their number is bounded. When there are too many, the oldest connection of the address that has most of them is closed. So a
//! new connection is never refused, and an address that opens thousands of connections closes its own.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex},
};

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::client_address::is_trusted_proxy;
use crate::{error::Limit, limits::address_group, sync::lock, telemetry::Metrics};

/// All idle connections of the node.
pub(super) struct IdleConnections {
    /// 0: unlimited.
    max: usize,
    proxies: Arc<[IpNet]>,
    table: Mutex<IdleTable>,
    metrics: Arc<Metrics>,
}

/// Whose connections are counted together. Those of a trusted proxy stand for many clients: they sort lower and are closed last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct PeerNetwork {
    is_client: bool,
    network: IpAddr,
}

#[derive(Default)]
struct IdleTable {
    /// Number of the next connection that becomes idle.
    next: u64,
    total: usize,
    /// Closes a connection, by its number.
    by_peer: HashMap<PeerNetwork, BTreeMap<u64, CancellationToken>>,
    /// Peers by their number of connections: the last one closes one.
    by_size: BTreeSet<(bool, usize, PeerNetwork)>,
}

impl IdleConnections {
    /// An empty table for at most `max` connections; 0: unlimited.
    pub(super) fn new(max: usize, proxies: Arc<[IpNet]>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            max,
            proxies,
            table: Mutex::default(),
            metrics,
        })
    }

    /// Closes the oldest connection of the address that has most of them; returns false if there is none.
    pub(super) fn close_one(&self) -> bool {
        let oldest = self.change(IdleTable::take_oldest);
        if let Some(close) = &oldest {
            self.metrics.limited(Limit::IdleConnections);
            close.cancel();
        }
        oldest.is_some()
    }

    fn peer(&self, address: IpAddr) -> PeerNetwork {
        PeerNetwork {
            is_client: !is_trusted_proxy(&self.proxies, &address),
            network: address_group(address),
        }
    }

    /// Adds a connection, and closes one if there are too many.
    fn add(&self, peer: PeerNetwork, close: CancellationToken) -> u64 {
        let (number, total) = self.change(|table| (table.add(peer, close), table.total));
        if self.max != 0 && total > self.max {
            self.close_one();
        }
        number
    }

    fn remove(&self, peer: PeerNetwork, number: u64) {
        self.change(|table| table.remove(peer, number));
    }

    fn change<T>(&self, change: impl FnOnce(&mut IdleTable) -> T) -> T {
        let mut table = lock(&self.table);
        let before = table.total;
        let changed = change(&mut table);
        let gauge = &self.metrics.idle_connections;
        match table.total.cmp(&before) {
            Ordering::Greater => _ = gauge.inc(),
            Ordering::Less => _ = gauge.dec(),
            Ordering::Equal => {}
        }
        changed
    }
}

impl IdleTable {
    fn add(&mut self, peer: PeerNetwork, close: CancellationToken) -> u64 {
        let number = self.next;
        self.next += 1;
        self.total += 1;
        let connections = self.by_peer.entry(peer).or_default();
        connections.insert(number, close);
        let size = connections.len();
        self.resize(peer, size - 1, size);
        number
    }

    fn remove(&mut self, peer: PeerNetwork, number: u64) -> Option<CancellationToken> {
        let connections = self.by_peer.get_mut(&peer)?;
        let removed = connections.remove(&number)?;
        let size = connections.len();
        if size == 0 {
            self.by_peer.remove(&peer);
        }
        self.total -= 1;
        self.resize(peer, size + 1, size);
        Some(removed)
    }

    fn resize(&mut self, peer: PeerNetwork, before: usize, now: usize) {
        self.by_size.remove(&(peer.is_client, before, peer));
        if now > 0 {
            self.by_size.insert((peer.is_client, now, peer));
        }
    }

    fn take_oldest(&mut self) -> Option<CancellationToken> {
        let (_, _, peer) = *self.by_size.last()?;
        let oldest = *self.by_peer.get(&peer)?.first_key_value()?.0;
        self.remove(peer, oldest)
    }
}

/// Whether one connection is idle: until its first request, and again after its last response.
pub(super) struct ConnectionActivity {
    all: Arc<IdleConnections>,
    state: Mutex<ActivityState>,
    closed: CancellationToken,
    idle_again: Notify,
}

struct ActivityState {
    /// Whose connections this one is counted with.
    peer: PeerNetwork,
    /// Open requests.
    requests: usize,
    /// The connection's number among the idle ones.
    idle: Option<u64>,
}

impl ConnectionActivity {
    /// A new connection, idle.
    pub(super) fn new(all: Arc<IdleConnections>, address: IpAddr) -> Arc<Self> {
        let (peer, closed) = (all.peer(address), CancellationToken::new());
        let idle = Some(all.add(peer, closed.clone()));
        let state = ActivityState {
            peer,
            requests: 0,
            idle,
        };
        Arc::new(Self {
            all,
            state: Mutex::new(state),
            closed,
            idle_again: Notify::new(),
        })
    }

    /// Counts the connection for another address from now on: that of the client whose connection a proxy passes on.
    pub(super) fn attribute_to(&self, client: IpAddr) {
        let mut state = lock(&self.state);
        let before = std::mem::replace(&mut state.peer, self.all.peer(client));
        if let Some(number) = state.idle.take() {
            self.all.remove(before, number);
            state.idle = Some(self.all.add(state.peer, self.closed.clone()));
        }
    }

    /// Notes a request; it is open until the returned value is dropped.
    pub(super) fn open_request(self: &Arc<Self>) -> OpenRequest {
        let mut state = lock(&self.state);
        state.requests += 1;
        if let Some(number) = state.idle.take() {
            self.all.remove(state.peer, number);
        }
        OpenRequest(self.clone())
    }

    /// Returns when the connection has to close to make room for others. If a request has arrived meanwhile, it is answered
    /// first.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
        loop {
            let idle = self.idle_again.notified();
            if lock(&self.state).requests == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for ConnectionActivity {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if let Some(number) = state.idle.take() {
            self.all.remove(state.peer, number);
        }
    }
}

/// A request, from its head until the end of its response is written.
pub(super) struct OpenRequest(Arc<ConnectionActivity>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let ConnectionActivity { all, closed, .. } = &*self.0;
        let mut state = lock(&self.0.state);
        state.requests -= 1;
        if state.requests > 0 {
            return;
        }
        match closed.is_cancelled() {
            true => self.0.idle_again.notify_waiters(),
            false => state.idle = Some(all.add(state.peer, closed.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
