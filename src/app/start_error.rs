//! Why a server did not start.

use std::{fmt, net::SocketAddr};

use crate::{backend, config::ConfigError};

/// Why a server did not start.
///
/// `Debug` prints the message and its cause, so that a `main` that returns this error ends with a sentence.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is invalid.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A handler of an event cannot be registered; says which one and why.
    #[error("{0}")]
    Event(String),
    /// The application or Socket.IO has a route that the server has; says which one.
    #[error("{0}")]
    Route(String),
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
    /// Listening for WebTransport, on the UDP port of `listen`, failed.
    #[error(
        "cannot listen on {address} for WebTransport (UDP): {source}; is another server running there? `listen` chooses another \
         address, and webtransport = false does without"
    )]
    ListenUdp {
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

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.to_string();
        f.write_str(&message)?;
        let first = std::error::Error::source(self);
        let cause = std::iter::successors(first, |error| error.source()).last();
        match cause.map(ToString::to_string) {
            Some(cause) if !message.contains(&cause) => write!(f, " ({cause})"),
            _ => Ok(()),
        }
    }
}
