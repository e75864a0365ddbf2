//! What a log in Redis is configured with, and why it cannot be opened.

use std::time::Duration;

use redis::RedisError;

use super::keys;
use crate::{
    backend::{DEFAULT_IDEMPOTENCY_WINDOW, DEFAULT_SESSION_WINDOW, Retention},
    error::Error,
    options::SecretUrl,
};

/// How long a node counts as alive without renewing its lease, by default.
pub(super) const LEASE: Duration = Duration::from_secs(15);

/// How long the users of a node that has stopped are still listed, by default.
const GRACE: Duration = Duration::from_secs(5);

/// Where a shared log is and what it keeps.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// One Redis, `redis://[user:password@]host[:port]`, or nodes of a Cluster, separated by commas: one that can be reached
    /// is enough. `rediss://` uses TLS.
    pub url: SecretUrl,
    /// The prefix of all keys and channels. Deployments with different prefixes share nothing.
    pub prefix: String,
    /// How much of each room is kept.
    pub retention: Retention,
    /// How long a message id is remembered, so that a repeat is not stored again.
    pub idempotency: Duration,
    /// How long a session that has ended can be resumed.
    pub session_window: Duration,
    /// How long a node counts as alive without renewing its lease.
    pub lease: Duration,
    /// How long the users of a node that has stopped are still listed, so that they can reconnect to another node.
    pub grace: Duration,
}

impl RedisConfig {
    /// A log at `url` with defaults for the rest.
    pub fn new(url: impl Into<SecretUrl>) -> Self {
        Self {
            url: url.into(),
            prefix: keys::PREFIX.to_owned(),
            retention: Retention::default(),
            idempotency: DEFAULT_IDEMPOTENCY_WINDOW,
            session_window: DEFAULT_SESSION_WINDOW,
            lease: LEASE,
            grace: GRACE,
        }
    }
}

/// Why a log in Redis could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisOpenError {
    /// The URL is invalid.
    #[error(
        "invalid Redis URL; write redis://host:port, several separated by commas for a Cluster"
    )]
    Url(#[source] RedisError),
    /// Redis cannot be reached, or rejects the commands.
    #[error("Redis cannot be used; start it, or correct its address, user or password")]
    Away(#[source] Error),
    /// Several URLs of servers that are no Cluster.
    #[error("several Redis URLs are given, but the servers are not a Cluster; give one")]
    Several,
    /// The URL names a numbered database. Pub/Sub is shared by all databases of a server, so nodes of one database would
    /// receive messages of another.
    #[error(
        "Pub/Sub is shared by all databases of a Redis server, so a numbered database does not separate deployments; remove the /db from the URL, and give each deployment its own redis.prefix"
    )]
    Database,
}
