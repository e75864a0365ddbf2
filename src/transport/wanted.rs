//! What the address of a request asks for that is to be a connection: rooms, and from where on.

use http::Uri;
use indexmap::IndexSet;

use super::params::query;
use crate::{
    error::{Error, Result},
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
        for (name, value) in query::<Vec<(String, String)>>(uri)? {
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
mod tests {
    use super::*;

    #[test]
    fn rooms_come_by_the_path_and_the_query_with_whatever_their_names_hold() {
        let read = |uri: &str| Wanted::read(Some("here"), &uri.parse().unwrap());
        let wanted =
            read("/?room=a%2Bb%2Fc&room=here&x&token=t&room=r%C3%A4ume&history=7&since=").unwrap();
        let rooms: Vec<_> = wanted.rooms.iter().map(RoomName::as_str).collect();
        assert_eq!(rooms, ["here", "a+b/c", "räume"]);
        assert_eq!((wanted.since, wanted.history), (None, 7));
        for name in [
            "lastEventId",
            "Last-Event-ID",
            "last-event-id",
            "lastEventID",
            "last_event_id",
        ] {
            let wanted = read(&format!("/?{name}=1&since=2&{name}=3&{name}=")).unwrap();
            assert_eq!(wanted.last_event.as_deref(), Some("3"), "{name}");
            assert_eq!(wanted.since.as_deref(), Some("2"));
        }
        for name in ["event", "lastEvent", "lastEventIds"] {
            assert_eq!(
                read(&format!("/?{name}=1")).unwrap().last_event,
                None,
                "{name}"
            );
        }
        for bad in [
            "/?room=a%20b",
            "/?room=a+b",
            "/?room=",
            "/?history=x",
            "/?history=-1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
