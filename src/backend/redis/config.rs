//! What a log in Redis is configured with, and why it cannot be opened.

use std::{io, path::PathBuf, time::Duration};

use redis::RedisError;

use super::keys;
use crate::{
    backend::{
        DEFAULT_IDEMPOTENCY_WINDOW, DEFAULT_OUTBOX_EVENTS, DEFAULT_SESSION_WINDOW, Retention,
    },
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
    /// Files for TLS.
    pub tls: RedisTls,
    /// The prefix of all keys and channels. Deployments with different prefixes share nothing.
    pub prefix: String,
    /// How much of each room is kept.
    pub retention: Retention,
    /// How long a message id is remembered, so that a repeat is not stored again.
    pub idempotency: Duration,
    /// How long a session that has ended can be resumed.
    pub session_window: Duration,
    /// How many events the outbox keeps.
    pub outbox_events: usize,
    /// How long a node counts as alive without renewing its lease.
    pub lease: Duration,
    /// How long the users of a node that has stopped are still listed, so that they can reconnect to another node.
    pub grace: Duration,
}

/// Files for TLS to Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// Certificates of the authorities that are trusted (PEM), instead of those that this machine trusts.
    pub ca: Option<PathBuf>,
    /// This node's certificate (PEM) and its key, for a Redis that asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl RedisConfig {
    /// A log at `url` with defaults for the rest.
    pub fn new(url: impl Into<SecretUrl>) -> Self {
        Self {
            url: url.into(),
            tls: RedisTls::default(),
            prefix: keys::PREFIX.to_owned(),
            retention: Retention::default(),
            idempotency: DEFAULT_IDEMPOTENCY_WINDOW,
            session_window: DEFAULT_SESSION_WINDOW,
            outbox_events: DEFAULT_OUTBOX_EVENTS,
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
    /// A file for TLS cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    TlsFile {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// What is in the files for TLS cannot be used, or the URL does not begin with `rediss://`.
    #[error("redis.tls_ca, redis.tls_cert or redis.tls_key cannot be used for TLS to Redis")]
    Tls(#[source] RedisError),
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
