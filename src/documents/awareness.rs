//! Who is at a document: the awareness states of its clients, as the awareness protocol of y-protocols has them.
//!
//! Pure state of one document on one node: it is given the time, never awaits, and only tells connections and nodes apart. An
//! update lists clients, each with a clock and a state, which is JSON; `null` is one that is gone. What is newer than what is
//! known is kept, and is returned to be sent to everybody, the sender included: clients take the echo of their own updates for
//! a sign that the connection works. Nothing else is to be sent. Clients send everything back that they receive, and a
//! server that passes that on multiplies it by the number of clients.
//!
//! A client is taken back with the connection that owns it: the one that announced it. A client that a browser's tab announces
//! for another tab would belong to the wrong one, and after a network failure to the old one. Therefore the client that a
//! connection announces first is its own, even if another one announced it before. A client of another node is taken back by each node when
//! that node is gone, and all clients that stop to renew their state after [`TIMEOUT`].
//!
//! Who is gone keeps its clock for a while, so that a late echo does not bring it back. A client that reconnects comes with
//! the clock it had; to be seen by those who were told that it is gone, and by the node where it was before, it gets the next one.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    time::{Duration, Instant},
};

use super::{
    encoding::{MAX_INTEGER, Malformed, Reader, Writer},
    walk::{MAX_DEPTH, json::is_json},
};
use crate::model::NodeId;

/// Clients that one connection may announce.
pub const MAX_CLIENTS_PER_CONNECTION: usize = 64;

/// How long a client may be silent. Clients renew their state in half of it.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How long the clock of a client that is gone is kept.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// State of a client that is gone.
const GONE: &str = "null";

/// The awareness states of one document. `K` tells the connections of this node apart.
#[derive(Debug)]
pub struct Awareness<K> {
    max_state_bytes: usize,
    clients: BTreeMap<u64, Client<K>>,
    /// The clients that each connection announced, its own first.
    connections: HashMap<K, Vec<u64>>,
}

/// Why an update is refused. Nothing of it was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AwarenessError {
    /// It does not follow the format.
    #[error("malformed awareness update: {0}")]
    Malformed(#[from] Malformed),
    /// A state is too large.
    #[error("an awareness state has {bytes} bytes, and may have {limit}")]
    StateTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A connection announced too many clients.
    #[error("a connection may announce {MAX_CLIENTS_PER_CONNECTION} clients")]
    TooManyClients,
}

/// What is known of one client.
#[derive(Debug)]
struct Client<K> {
    clock: u64,
    /// `None`: it is gone.
    state: Option<Box<str>>,
    owner: Option<Owner<K>>,
    /// When its clock changed.
    changed: Instant,
}

/// With whom a client is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner<K> {
    /// A connection of this node.
    Connection(K),
    /// Another node.
    Node(NodeId),
}

/// What an update says of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry<'a> {
    client: u64,
    clock: u64,
    state: Option<&'a str>,
}

impl<K: Copy + Eq + Hash> Awareness<K> {
    /// Nobody is there. A client's state may have `max_state_bytes`.
    pub fn new(max_state_bytes: usize) -> Self {
        Self {
            max_state_bytes,
            clients: BTreeMap::new(),
            connections: HashMap::new(),
        }
    }

    /// Applies an update that a connection of this node sent. Returns an update of what is new, for everybody and for other
    /// nodes.
    ///
    /// # Errors
    /// The update is malformed or exceeds a limit.
    pub fn apply(
        &mut self,
        connection: K,
        update: &[u8],
        now: Instant,
    ) -> Result<Option<Vec<u8>>, AwarenessError> {
        let entries = self.parse(update)?;
        let is_first = !self.connections.contains_key(&connection);
        self.check_client_count(connection, &entries, is_first)?;
        let mut news = News::default();
        for (at, entry) in entries.into_iter().enumerate() {
            self.announce(connection, entry, is_first && at == 0, now, &mut news);
        }
        Ok(news.finish())
    }

    /// Applies an update of another node. Returns an update of what is new, for everybody on this node.
    ///
    /// # Errors
    /// The update is malformed or exceeds a limit.
    pub fn apply_remote(
        &mut self,
        node: NodeId,
        update: &[u8],
        now: Instant,
    ) -> Result<Option<Vec<u8>>, AwarenessError> {
        let mut news = News::default();
        for entry in self.parse(update)? {
            self.move_to(node, entry);
            self.apply_entry(entry, Some(Owner::Node(node)), now, &mut news);
        }
        Ok(news.finish())
    }

    /// An update of everybody who is there, for somebody new; `None` if nobody is.
    pub fn all(&self) -> Option<Vec<u8>> {
        self.those_there(|_| true)
    }

    /// An update of everybody who is there and connected to this node, for another node; `None` if nobody is.
    pub fn local(&self) -> Option<Vec<u8>> {
        self.those_there(|client| client.connection().is_some())
    }

    fn those_there(&self, is_wanted: impl Fn(&Client<K>) -> bool) -> Option<Vec<u8>> {
        let mut news = News::default();
        for (id, client) in &self.clients {
            if client.state.is_some() && is_wanted(client) {
                news.add(*id, client);
            }
        }
        news.finish()
    }

    /// A connection closed. Returns an update that takes its clients back, for everybody and for other nodes.
    pub fn remove_connection(&mut self, connection: K, now: Instant) -> Option<Vec<u8>> {
        let mut news = News::default();
        for id in self.connections.remove(&connection).unwrap_or_default() {
            if let Some(client) = self.clients.get_mut(&id) {
                client.owner = None;
                client.take_back(id, now, &mut news);
            }
        }
        news.finish()
    }

    /// Another node is gone. Returns an update that takes its clients back, for everybody on this node; other nodes come to it
    /// themselves.
    pub fn remove_node(&mut self, node: NodeId, now: Instant) -> Option<Vec<u8>> {
        let mut news = News::default();
        for (id, client) in &mut self.clients {
            if client.owner == Some(Owner::Node(node)) {
                client.take_back(*id, now, &mut news);
            }
        }
        news.finish()
    }

    /// Takes back clients that have been silent, and forgets those that have been gone for long. Returns an update for
    /// everybody on this node; other nodes come to it themselves.
    pub fn expire(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut news = News::default();
        self.clients.retain(|id, client| {
            let silent = now.saturating_duration_since(client.changed);
            if client.state.is_some() && silent >= TIMEOUT {
                client.take_back(*id, now, &mut news);
            }
            client.state.is_some() || client.connection().is_some() || silent < FORGET_AFTER
        });
        news.finish()
    }

    /// Parses an update and checks each of its states.
    fn parse<'a>(&self, update: &'a [u8]) -> Result<Vec<Entry<'a>>, AwarenessError> {
        let mut reader = Reader::new(update);
        // A client, a clock, and a state with its length.
        let count = reader.count(4)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let client = reader.var_uint()?;
            let clock = reader.var_uint()?;
            let state = reader.var_string()?;
            if state.len() > self.max_state_bytes {
                return Err(AwarenessError::StateTooLarge {
                    bytes: state.len(),
                    limit: self.max_state_bytes,
                });
            }
            if !is_json(state, MAX_DEPTH) {
                return Err(reader.malformed("invalid JSON").into());
            }
            let state = (state.trim_ascii() != GONE).then_some(state);
            entries.push(Entry {
                client,
                clock,
                state,
            });
        }
        reader.end()?;
        Ok(entries)
    }

    fn check_client_count(
        &self,
        connection: K,
        entries: &[Entry<'_>],
        is_first: bool,
    ) -> Result<(), AwarenessError> {
        let owned = self.connections.get(&connection).map_or(0, Vec::len);
        if owned + entries.len() <= MAX_CLIENTS_PER_CONNECTION {
            return Ok(());
        }
        let claimed = entries.iter().enumerate().filter(|(at, entry)| {
            self.claims(entry, is_first && *at == 0) && !self.owns(connection, entry.client)
        });
        let mut claimed: Vec<u64> = claimed.map(|(_, entry)| entry.client).collect();
        claimed.sort_unstable();
        claimed.dedup();
        if owned + claimed.len() > MAX_CLIENTS_PER_CONNECTION {
            return Err(AwarenessError::TooManyClients);
        }
        Ok(())
    }

    /// Whether a connection that announces a client becomes its owner. `is_first`: it is the first that it announces.
    fn claims(&self, entry: &Entry<'_>, is_first: bool) -> bool {
        let is_claim = |known: &Client<K>| {
            let is_free = known.connection().is_none() && entry.is_newer_than(known);
            is_free || is_first && entry.clock >= known.clock
        };
        entry.state.is_some() && self.clients.get(&entry.client).is_none_or(is_claim)
    }

    fn owns(&self, connection: K, client: u64) -> bool {
        let known = self.clients.get(&client);
        known.and_then(Client::connection) == Some(connection)
    }

    /// Applies what a connection says of one client.
    fn announce(
        &mut self,
        connection: K,
        mut entry: Entry<'_>,
        is_first: bool,
        now: Instant,
        news: &mut News,
    ) {
        let mut owner = None;
        if self.claims(&entry, is_first) && !self.owns(connection, entry.client) {
            owner = Some(Owner::Connection(connection));
            let known = self.clients.get_mut(&entry.client);
            if let Some(known) = known {
                let before = known.connection();
                let is_seen_here = known.state.is_some() && before.is_some();
                if !is_seen_here && known.clock == entry.clock && entry.clock < MAX_INTEGER {
                    entry.clock += 1;
                }
                known.owner = owner;
                if let Some(before) = before {
                    self.forget_owned(before, entry.client);
                }
            }
            let clients = self.connections.entry(connection).or_default();
            clients.push(entry.client);
        }
        self.apply_entry(entry, owner, now, news);
    }

    /// Records that a client is at another node now. Its connection here, if it had one, is an old one.
    fn move_to(&mut self, node: NodeId, entry: Entry<'_>) {
        if let Some(known) = self.clients.get_mut(&entry.client)
            && entry.state.is_some()
        {
            let before = known.connection();
            // What is not new may come from the node where it is now, before it renews its state there.
            let is_as_known = before.is_none() && entry.clock == known.clock;
            if is_as_known || entry.is_newer_than(known) {
                known.owner = Some(Owner::Node(node));
                if let Some(before) = before {
                    self.forget_owned(before, entry.client);
                }
            }
        }
    }

    fn forget_owned(&mut self, owner: K, client: u64) {
        if let Some(clients) = self.connections.get_mut(&owner) {
            clients.retain(|owned| *owned != client);
        }
    }

    /// Applies what was said of one client, if it is new. `owner`: of a client that is not known.
    fn apply_entry(
        &mut self,
        entry: Entry<'_>,
        owner: Option<Owner<K>>,
        now: Instant,
        news: &mut News,
    ) {
        let owner = match self.clients.get(&entry.client) {
            Some(known) if entry.is_newer_than(known) => known.owner,
            None if entry.state.is_some() => owner,
            _ => return,
        };
        let client = Client {
            clock: entry.clock,
            state: entry.state.map(Box::from),
            owner,
            changed: now,
        };
        news.add(entry.client, &client);
        self.clients.insert(entry.client, client);
    }
}

impl<K: Copy> Client<K> {
    /// The connection of this node that owns it.
    fn connection(&self) -> Option<K> {
        match self.owner {
            Some(Owner::Connection(connection)) => Some(connection),
            Some(Owner::Node(_)) | None => None,
        }
    }

    /// Takes it back: those who know its clock take `null` for newer.
    fn take_back(&mut self, id: u64, now: Instant, news: &mut News) {
        if self.state.take().is_some() {
            self.changed = now;
            news.add(id, self);
        }
    }
}

impl Entry<'_> {
    fn is_newer_than<K>(&self, known: &Client<K>) -> bool {
        let takes_back = self.state.is_none() && known.state.is_some();
        self.clock > known.clock || takes_back && self.clock == known.clock
    }
}

/// An update of what is new.
#[derive(Default)]
struct News {
    count: usize,
    entries: Writer,
}

impl News {
    fn add<K>(&mut self, id: u64, client: &Client<K>) {
        self.count += 1;
        let state = client.state.as_deref().unwrap_or(GONE);
        self.entries
            .var_uint(id)
            .var_uint(client.clock)
            .var_string(state);
    }

    /// The update; `None` if nothing is new.
    fn finish(self) -> Option<Vec<u8>> {
        if self.count == 0 {
            return None;
        }
        let mut update = Writer::new();
        update.count(self.count).raw(self.entries.as_bytes());
        Some(update.into_bytes())
    }
}

#[cfg(test)]
mod tests;
