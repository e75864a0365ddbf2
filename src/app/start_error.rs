//! Why a server did not start.

use std::net::SocketAddr;

use crate::{backend, config::ConfigError};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is invalid.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A handler of an event cannot be registered; says which one and why.
    #[error("{0}")]
    Event(String),
    /// The embedded log could not be opened.
    #[error("{0}")]
    Store(#[from] backend::sqlite::OpenError),
    /// The shared log could not be opened.
    #[error("{0}")]
    Redis(#[from] backend::redis::RedisOpenError),
    /// Listening on `http.internal_listen` failed.
    #[error(
        "cannot listen on {address}: {source}; is another server running there? `http.internal_listen` chooses another address"
    )]
    ListenInternal {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// Listening on `listen` failed.
    #[error(
        "cannot listen on {address}: {source}; is another server running there? `listen` chooses another address"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
}
