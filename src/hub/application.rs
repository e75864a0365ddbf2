//! What an embedding application keeps with a connection: a state of its own, and the rooms of socketioxide that it has joined
//! the connection to. Both are stored with the session, and are back when that goes on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Connection, Hub, lock};
use crate::{
    error::{Code, Error, Result},
    repeat::log_in_bursts,
};

/// Bytes of a connection's state, as JSON.
pub const STATE_BYTES: usize = 8 << 10;

/// Bytes of the names of rooms that are kept; what is more is not joined again.
const ROOMS_BYTES: usize = 32 << 10;

/// What is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Application {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rooms: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<Arc<RawValue>>,
}

/// What a connection has of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    state: Option<Arc<RawValue>>,
    /// As it is stored.
    stored: Option<String>,
}

impl Held {
    pub(super) fn of(application: Application) -> Self {
        Self {
            state: application.state,
            stored: None,
        }
    }
}

impl Application {
    /// Reads what was stored.
    pub(super) fn read(text: Option<&str>) -> Self {
        let read = text.map(serde_json::from_str);
        read.and_then(Result::ok).unwrap_or_default()
    }

    /// The text to store; none if there is nothing.
    fn text(&self) -> Option<String> {
        if self.rooms.is_empty() && self.state.is_none() {
            return None;
        }
        serde_json::to_string(self).ok()
    }
}

impl Connection {
    /// The state that the application keeps with this connection: a JSON object.
    pub fn state(&self) -> Option<Arc<RawValue>> {
        lock(self.held()).state.clone()
    }

    /// Replaces the state that the application keeps with this connection, `None` forgets it.
    ///
    /// # Errors
    /// `bad_request` if it is no JSON object, `too_large` if it has more than [`STATE_BYTES`].
    pub fn set_state(&self, state: Option<Box<RawValue>>) -> Result<()> {
        if let Some(state) = &state {
            let bytes = state.get().len();
            if !state.get().starts_with('{') {
                return Err(Error::bad_request("a connection's state is a JSON object"));
            }
            if bytes > STATE_BYTES {
                let message =
                    format!("a connection's state has at most {STATE_BYTES} bytes, not {bytes}");
                return Err(Error::new(Code::TooLarge, message));
            }
        }
        lock(self.held()).state = state.map(Arc::from);
        Ok(())
    }

    /// What is to be kept of it now.
    pub(super) fn application(&self) -> Application {
        let mut rooms = self.outlet().rooms();
        let mut left = ROOMS_BYTES;
        let fit = rooms.iter().take_while(|room| {
            let bytes = room.len() + 3;
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        });
        let fit = fit.count();
        if fit < rooms.len() {
            let (rooms, kept) = (rooms.len(), fit);
            log_in_bursts!(warn, rooms, kept, connection = %self.id(), "a session keeps only some of the rooms that the application has joined");
        }
        rooms.truncate(fit);
        Application {
            rooms,
            state: self.state(),
        }
    }

    /// The text to store of it.
    pub(super) fn application_text(&self) -> Option<String> {
        self.application().text()
    }

    /// Notes what is stored of it.
    pub(super) fn application_stored(&self, text: Option<String>) {
        lock(self.held()).stored = text;
    }
}

impl Hub {
    /// Stores what the application keeps with a connection, if that has changed. If it cannot be stored, that is logged, and tried again
    /// with the next change.
    pub async fn keep_application(&self, connection: &Connection) {
        if connection.pid().is_none() || connection.memberships().is_none() {
            return; // it has no session, or another connection goes on with that
        }
        let changed = connection.application_text() != lock(connection.held()).stored;
        if changed && let Err(error) = self.save(connection, None).await {
            log_in_bursts!(warn, %error, connection = %connection.id(), "what the application keeps with a connection is not stored");
        }
    }
}
