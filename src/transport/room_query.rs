//! The rooms that a request's URL names for a new connection, and where in their history to begin.

use http::Uri;
use indexmap::IndexSet;

use crate::{
    error::{Error, Result},
    http::params::parse_query,
    model::RoomName,
};

/// Rooms from the path and from any number of `?room=`, and how much of their history to send.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RoomQuery {
    /// Without duplicates, in the order of the URL.
    pub(super) rooms: IndexSet<RoomName>,
    pub(super) since: Option<String>,
    /// Sent instead of `Last-Event-ID` by clients that cannot set headers.
    pub(super) last_event: Option<String>,
    pub(super) history: usize,
}

impl RoomQuery {
    /// Parses a URL; `room` is the one in its path. Other query parameters are ignored.
    ///
    /// # Errors
    /// `bad_request`: a room's name or `history` is malformed.
    pub(super) fn parse(room: Option<&str>, uri: &Uri) -> Result<Self> {
        let mut query = Self::default();
        if let Some(room) = room {
            query.rooms.insert(room.parse()?);
        }
        for (name, value) in parse_query::<Vec<(String, String)>>(uri)? {
            match name.as_str() {
                "room" => {
                    query.rooms.insert(value.parse()?);
                }
                "since" if !value.is_empty() => query.since = Some(value),
                "history" => {
                    query.history = value
                        .parse()
                        .map_err(|_| Error::bad_request("history: a number is expected"))?;
                }
                // Reconnecting clients append it to their original URL, so the last one is the newest.
                name if is_last_event(name) && !value.is_empty() => {
                    query.last_event = Some(value);
                }
                _ => {}
            }
        }
        Ok(query)
    }
}

/// Whether this is `Last-Event-ID` in one of its spellings: `lastEventId`, `last_event_id` …
fn is_last_event(name: &str) -> bool {
    let letters = name.bytes().filter(|byte| !b"-_".contains(byte));
    letters
        .map(|byte| byte.to_ascii_lowercase())
        .eq(*b"lasteventid")
}

#[cfg(test)]
mod tests;
