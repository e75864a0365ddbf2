//! TCP connections without a request: no whole head has come yet, or the last answer is out and the peer is still there.
//!
//! They are bounded in number, and none of them is worth keeping when there are too many: then the oldest goes of the address
//! that has most of them. A newcomer always gets in, and an address that opens thousands of connections closes its own.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex},
};

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{error::Limit, limits::network, telemetry::Metrics, transport::lock};

/// All connections without a request.
pub(super) struct IdleConnections {
    /// So many at the most; 0 is no limit.
    most: usize,
    proxies: Arc<[IpNet]>,
    known: Mutex<Known>,
    metrics: Arc<Metrics>,
}

/// Whose connections are counted together. Those of a trusted proxy, which stand for many clients, are the smaller and go last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Peer {
    is_client: bool,
    network: IpAddr,
}

#[derive(Default)]
struct Known {
    /// The number of the next connection that becomes idle.
    next: u64,
    total: usize,
    /// What ends each connection, by its number.
    by_peer: HashMap<Peer, BTreeMap<u64, CancellationToken>>,
    /// How many each has: the last is to close one.
    by_size: BTreeSet<(bool, usize, Peer)>,
}

impl IdleConnections {
    /// None; `most` are kept, 0 is no limit.
    pub(super) fn new(most: usize, proxies: Arc<[IpNet]>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            most,
            proxies,
            known: Mutex::default(),
            metrics,
        })
    }

    /// Closes the oldest connection of the address that has most of them; false if there is none.
    pub(super) fn close_one(&self) -> bool {
        let oldest = self.change(Known::take_oldest);
        if let Some(close) = &oldest {
            self.metrics.limited(Limit::IdleConnections);
            close.cancel();
        }
        oldest.is_some()
    }

    fn peer(&self, address: IpAddr) -> Peer {
        Peer {
            is_client: !self.proxies.iter().any(|proxy| proxy.contains(&address)),
            network: network(address),
        }
    }

    /// Notes a connection, and closes another one if these are too many.
    fn enter(&self, peer: Peer, close: CancellationToken) -> u64 {
        let (number, total) = self.change(|known| (known.add(peer, close), known.total));
        if self.most != 0 && total > self.most {
            self.close_one();
        }
        number
    }

    fn leave(&self, peer: Peer, number: u64) {
        self.change(|known| known.remove(peer, number));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = lock(&self.known);
        let before = known.total;
        let changed = change(&mut known);
        let gauge = &self.metrics.idle_connections;
        match known.total.cmp(&before) {
            Ordering::Greater => _ = gauge.inc(),
            Ordering::Less => _ = gauge.dec(),
            Ordering::Equal => {}
        }
        changed
    }
}

impl Known {
    fn add(&mut self, peer: Peer, close: CancellationToken) -> u64 {
        let number = self.next;
        self.next += 1;
        self.total += 1;
        let connections = self.by_peer.entry(peer).or_default();
        connections.insert(number, close);
        let size = connections.len();
        self.resize(peer, size - 1, size);
        number
    }

    fn remove(&mut self, peer: Peer, number: u64) -> Option<CancellationToken> {
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

    fn resize(&mut self, peer: Peer, before: usize, now: usize) {
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

/// What one connection is doing: it is idle until a request comes, and again when the last one is answered.
pub(super) struct Activity {
    all: Arc<IdleConnections>,
    peer: Peer,
    state: Mutex<State>,
    closed: CancellationToken,
    idle_again: Notify,
}

struct State {
    /// Requests that are open.
    requests: usize,
    /// The number that the connection has among those that are idle.
    idle: Option<u64>,
}

impl Activity {
    /// A connection that has just come.
    pub(super) fn new(all: Arc<IdleConnections>, address: IpAddr) -> Arc<Self> {
        let (peer, closed) = (all.peer(address), CancellationToken::new());
        let idle = Some(all.enter(peer, closed.clone()));
        Arc::new(Self {
            all,
            peer,
            state: Mutex::new(State { requests: 0, idle }),
            closed,
            idle_again: Notify::new(),
        })
    }

    /// Notes a request; it is open until what this returns is dropped.
    pub(super) fn request(self: &Arc<Self>) -> OpenRequest {
        let mut state = lock(&self.state);
        state.requests += 1;
        if let Some(number) = state.idle.take() {
            self.all.leave(self.peer, number);
        }
        OpenRequest(self.clone())
    }

    /// Ready when the connection is to be closed for others. One that has got a request meanwhile answers that first.
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

impl Drop for Activity {
    fn drop(&mut self) {
        if let Some(number) = lock(&self.state).idle.take() {
            self.all.leave(self.peer, number);
        }
    }
}

/// A request, from its head until the last of its answer is written.
pub(super) struct OpenRequest(Arc<Activity>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let Activity {
            all, peer, closed, ..
        } = &*self.0;
        let mut state = lock(&self.0.state);
        state.requests -= 1;
        if state.requests > 0 {
            return;
        }
        match closed.is_cancelled() {
            true => self.0.idle_again.notify_waiters(),
            false => state.idle = Some(all.enter(*peer, closed.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
