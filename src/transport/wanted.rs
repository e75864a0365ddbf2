//! What the address of a request asks for that is to be a connection: rooms, and from where on.

use http::Uri;

use super::params::query;
use crate::{
    error::{Error, Result},
    model::RoomName,
};

/// Rooms by the path and by `?room=`, as often as one likes, and what of their past is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) rooms: Vec<RoomName>,
    pub(super) since: Option<String>,
    pub(super) history: usize,
}

impl Wanted {
    /// Reads an address; `room` is what its path names. What else the query says is for others.
    pub(super) fn read(room: Option<&str>, uri: &Uri) -> Result<Self> {
        let mut wanted = Self::default();
        if let Some(room) = room {
            wanted.rooms.push(room.parse()?);
        }
        for (name, value) in query::<Vec<(String, String)>>(uri)? {
            match name.as_str() {
                "room" => wanted.rooms.push(value.parse()?),
                "since" if !value.is_empty() => wanted.since = Some(value),
                "history" => {
                    wanted.history = value
                        .parse()
                        .map_err(|_| Error::bad_request("history: a number is expected"))?;
                }
                _ => {}
            }
        }
        Ok(wanted)
    }
}
