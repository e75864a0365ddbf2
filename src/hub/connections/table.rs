//! The connections of this node by id and by user, and when users were last seen.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};

use crate::hub::{
    AdmittedUser, CloseReason, Connection,
    connections::users::{LastSeen, LocalUser},
    limiter::limit_reached,
};
use crate::{
    auth::Principal,
    error::{Limit, Result},
    limits::KeyedCounter,
    model::{ConnectionId, Timestamp, UserId},
    telemetry::Metrics,
    traces::TraceParent,
};

/// When a client that has too many connections should retry: one of them may have ended by then.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// All connections of this node.
pub(in crate::hub) struct ConnectionTable {
    connections: DashMap<ConnectionId, Arc<Connection>>,
    users: Arc<KeyedCounter<UserId, LocalUser>>,
    last_seen: LastSeen,
    /// How long a user who has gone keeps its status.
    grace: Duration,
    /// The node is draining: new connections are closed at once.
    draining: AtomicBool,
    metrics: Arc<Metrics>,
}

impl ConnectionTable {
    pub(in crate::hub) fn new(grace: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            connections: DashMap::new(),
            users: Arc::default(),
            last_seen: LastSeen::default(),
            grace,
            draining: AtomicBool::new(false),
            metrics,
        }
    }

    /// Takes a permit for one more connection of a user, who may have `max` (0: no limit).
    ///
    /// # Errors
    /// `limit_reached` if the user has that many.
    pub(in crate::hub) fn admit(
        &self,
        principal: Principal,
        unverified_address: Option<IpAddr>,
        max: usize,
    ) -> Result<AdmittedUser> {
        let taken = self.users.take(principal.user.clone(), max);
        let permit = taken.ok_or_else(|| {
            let message = format!("a user may hold {max} connections");
            limit_reached(Limit::ConnectionsPerUser, message).retry_after(RETRY_AFTER)
        })?;
        Ok(AdmittedUser {
            principal,
            permit,
            unverified_address,
            trace: TraceParent::default(),
        })
    }

    /// Adds a connection, in place of the one whose session it resumes.
    pub(in crate::hub) fn register(&self, connection: &Arc<Connection>) {
        let (user, now) = (connection.principal().user.clone(), Instant::now());
        // The entry stays locked, so that the end of a connection with the same id comes before all of this or finds
        // itself replaced.
        let entry = self.connections.entry(connection.id());
        if matches!(entry, Entry::Vacant(_)) {
            let returned = self.last_seen.within(&user, self.grace, now);
            let user = connection.local_user();
            user.add_connection(connection.id(), returned, self.grace, now);
            self.metrics.connections.inc();
            self.metrics.connections_opened.inc();
        }
        drop(entry.insert(connection.clone()));
        // Draining closes the connections that it finds after setting the flag; this one sees the flag otherwise.
        if self.is_draining() {
            connection.close(CloseReason::Draining);
        }
    }

    /// Removes a connection; false if another one has taken its place, or it was not there.
    pub(in crate::hub) fn remove(&self, connection: &Arc<Connection>) -> bool {
        let mut offline = None;
        let removed = self.connections.remove_if(&connection.id(), |_, found| {
            let is_same = Arc::ptr_eq(found, connection);
            if is_same {
                let user = connection.local_user();
                offline = user.remove_connection(connection.id(), Instant::now());
            }
            is_same
        });
        if removed.is_none() {
            return false;
        }
        self.metrics.connections.dec();
        if let Some(offline) = offline {
            let user = connection.principal().user.clone();
            self.last_seen.insert(user, offline);
        }
        true
    }

    pub(in crate::hub) fn get(&self, id: &ConnectionId) -> Option<Arc<Connection>> {
        self.connections.get(id).map(|found| found.clone())
    }

    pub(in crate::hub) fn contains(&self, id: &ConnectionId) -> bool {
        self.connections.contains_key(id)
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Every connection, in no order.
    pub(in crate::hub) fn all(&self) -> Vec<Arc<Connection>> {
        let connections = self.connections.iter();
        connections.map(|entry| entry.value().clone()).collect()
    }

    /// Every connection of a user, over all namespaces.
    pub(in crate::hub) fn of_user(&self, user: &UserId) -> Vec<Arc<Connection>> {
        let ids = self.users.with_shared(user, LocalUser::connections);
        ids.into_iter()
            .flatten()
            .filter_map(|id| self.get(&id))
            .collect()
    }

    /// The first users with a connection, by id, for which `matches` returns true. Looks at all users.
    pub(in crate::hub) fn first_users(
        &self,
        limit: usize,
        matches: impl Fn(&UserId) -> bool,
    ) -> Vec<UserId> {
        self.users.first_keys(limit, |user, shared| {
            matches(user) && !shared.connections().is_empty()
        })
    }

    /// Bytes in the send queues of all connections.
    pub(in crate::hub) fn queued_bytes(&self) -> usize {
        let clients = self.connections.iter().map(|entry| entry.sink().client());
        let queued = clients.filter(|client| client.queued_bytes > 0);
        let queues: HashMap<_, _> = queued
            .map(|client| (client.queue, client.queued_bytes))
            .collect();
        queues.into_values().sum()
    }

    /// Looks at what the connections of a user share; `None` if it has none.
    pub(in crate::hub) fn with_user<T>(
        &self,
        user: &UserId,
        look: impl FnOnce(&LocalUser) -> T,
    ) -> Option<T> {
        self.users.with_shared(user, look)
    }

    /// When the last connection of a user ended, if that is remembered.
    pub(in crate::hub) fn last_seen(&self, user: &UserId) -> Option<Timestamp> {
        self.last_seen.get(user).map(|gone| gone.ts)
    }

    /// Closes every connection that is registered from now on at once. Those registered before are in [`all`](Self::all).
    pub(in crate::hub) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub(in crate::hub) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}
