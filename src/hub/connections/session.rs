//! Sessions: a client that reconnects continues as the connection that it was.
//!
//! A session is stored in the backend under its `pid`, with the connection's id and its rooms, and is stored again before the
//! reply to a change of the rooms. Resuming has two halves: it is decided before the client is told
//! ([`prepare_connection`](crate::hub::Hub::prepare_connection)) and carried out afterwards
//! ([`connect`](crate::hub::Hub::connect)). In between nothing has changed, so that a client that disconnects again has lost
//! nothing. Where it cannot be shown that no message is missing, a new session begins instead; that is never an error.

use std::time::Duration;

use crate::retry::Backoff;

mod connect;
mod prepare;
mod resume;
mod resume_lock;
mod store;
mod unsaved;

pub use self::prepare::PreparedConnection;
pub use self::resume::{ResumeRejection, ResumeRequest};

pub(in crate::hub) use self::{resume_lock::ResumeLocks, unsaved::UnsavedSessions};

/// How soon an operation of the log or of the session store is retried. Every connection may have one to retry: they back off
/// at random.
pub(in crate::hub) const STORE_RETRY: Backoff =
    Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

#[cfg(test)]
mod tests;
