//! What a client asks for with `signal`.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{ConnectionId, UserId};

/// The receivers of a signal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SignalTarget {
    /// Every connection of a user.
    User(UserId),
    /// One connection.
    Connection(ConnectionId),
    /// A connection by an id that no connection can have.
    Nobody,
}

/// A message to one user or one connection that asks for a reply.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Its receivers.
    pub to: SignalTarget,
    /// Its name, for instance `offer`.
    pub event: String,
    /// Its data, byte for byte.
    pub data: Arc<RawValue>,
    /// How long to wait for replies.
    pub timeout: Option<Duration>,
}
