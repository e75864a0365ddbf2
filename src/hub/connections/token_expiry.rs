//! The end of a connection's token: it is told, and closed unless a new token comes within the grace time.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::hub::{CloseReason, Connection, Outgoing};
use crate::{
    error::{Code, Error},
    model::Timestamp,
};

/// Where a connection stands with its token.
#[derive(Debug)]
pub struct TokenExpiry {
    grace: Duration,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Never,
    /// To be told at this time.
    Due(Instant),
    /// Told; to be closed at this time.
    Grace(Instant),
}

impl TokenExpiry {
    /// The end of the token that `connection` has now, with this much time for a new one.
    pub fn of(connection: &Connection, grace: Duration) -> Self {
        let stage = match connection.principal().expires_at {
            None => Stage::Never,
            Some(end) => Stage::Due(Instant::now() + Timestamp::now().until(end)),
        };
        Self { grace, stage }
    }

    /// Ready when something is to be done; then call [`act`](Self::act).
    pub async fn due(&self) {
        match self.stage {
            Stage::Due(at) | Stage::Grace(at) => sleep_until(at).await,
            Stage::Never => std::future::pending().await,
        }
    }

    /// Says that the token has ended, or closes the connection when that was said before.
    pub fn act(&mut self, connection: &Connection) {
        match self.stage {
            Stage::Due(_) => {
                let error = Error::new(
                    Code::TokenExpired,
                    match self.grace.is_zero() {
                        true => "the token has expired; come again with a new one",
                        false => "the token has expired; send refresh with a new one",
                    },
                );
                connection.push(&Outgoing::notice("error", &error));
                self.stage = Stage::Grace(Instant::now() + self.grace);
            }
            Stage::Grace(_) => {
                connection.close(CloseReason::Expired);
                self.stage = Stage::Never;
            }
            Stage::Never => {}
        }
    }
}
