//! The expiry of a connection's token: its client is told, and the connection is closed unless a new token comes within the grace
//! time.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{CloseReason, Connection};
use crate::{
    error::{Code, Error},
    hub::OutgoingEvent,
    model::Timestamp,
};

/// When a connection is to be told that its token has expired, or is to be closed.
#[derive(Debug)]
pub struct TokenExpiry {
    grace: Duration,
    state: ExpiryState,
}

#[derive(Debug)]
enum ExpiryState {
    /// The token does not expire, or the connection was closed.
    Never,
    /// The token expires at this time.
    ExpiresAt(Instant),
    /// The client was told; the connection is closed at this time.
    ClosesAt(Instant),
}

impl TokenExpiry {
    /// The expiry of the token that `connection` has now, with `grace` for a new one.
    pub fn new(connection: &Connection, grace: Duration) -> Self {
        let state = match connection.principal().expires_at {
            None => ExpiryState::Never,
            Some(end) => ExpiryState::ExpiresAt(Instant::now() + Timestamp::now().until(end)),
        };
        Self { grace, state }
    }

    /// When [`advance`](Self::advance) is to be called next; `None`: never.
    pub fn next(&self) -> Option<Instant> {
        match self.state {
            ExpiryState::ExpiresAt(at) | ExpiryState::ClosesAt(at) => Some(at),
            ExpiryState::Never => None,
        }
    }

    /// Ready when [`advance`](Self::advance) is to be called.
    pub async fn due(&self) {
        match self.next() {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Sends the client an error about the expired token, or closes the connection if that was sent before.
    pub fn advance(&mut self, connection: &Connection) {
        match self.state {
            ExpiryState::ExpiresAt(_) => {
                let message = match self.grace.is_zero() {
                    true => "the token has expired; reconnect with a new one",
                    false => "the token has expired; send refresh with a new one",
                };
                let error = Error::new(Code::TokenExpired, message);
                connection.push(&OutgoingEvent::notice("error", &error));
                self.state = ExpiryState::ClosesAt(Instant::now() + self.grace);
            }
            ExpiryState::ClosesAt(_) => {
                connection.close(CloseReason::Expired);
                self.state = ExpiryState::Never;
            }
            ExpiryState::Never => {}
        }
    }
}
