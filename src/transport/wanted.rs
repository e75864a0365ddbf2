//! What the address of a request asks for that is to be a connection: rooms, and from where on.

use http::Uri;
use indexmap::IndexSet;

use crate::{
    error::{Error, Result},
    http::params::parse_query,
    model::RoomName,
};

/// Rooms by the path and by `?room=`, as often as one likes, and what of their past is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Each once, in the order of the address.
    pub(super) rooms: IndexSet<RoomName>,
    pub(super) since: Option<String>,
    /// What a client that cannot set headers gives back instead of `Last-Event-ID`.
    pub(super) last_event: Option<String>,
    pub(super) history: usize,
}

impl Wanted {
    /// Reads an address; `room` is what its path names. What else the query says is for others.
    pub(super) fn read(room: Option<&str>, uri: &Uri) -> Result<Self> {
        let mut wanted = Self::default();
        if let Some(room) = room {
            wanted.rooms.insert(room.parse()?);
        }
        for (name, value) in parse_query::<Vec<(String, String)>>(uri)? {
            match name.as_str() {
                "room" => {
                    wanted.rooms.insert(value.parse()?);
                }
                "since" if !value.is_empty() => wanted.since = Some(value),
                "history" => {
                    wanted.history = value
                        .parse()
                        .map_err(|_| Error::bad_request("history: a number is expected"))?;
                }
                // Clients that come back put it behind what they were given, which is older.
                name if is_last_event(name) && !value.is_empty() => {
                    wanted.last_event = Some(value);
                }
                _ => {}
            }
        }
        Ok(wanted)
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
