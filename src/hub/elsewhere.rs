//! What other nodes say of rooms: handed to the room, and taken over by users that have connections here, too.

use std::time::Instant;

use super::Hub;
use crate::{
    backend::{Attending, Elsewhere},
    model::{RoomKey, Timestamp, UserId},
};

impl Hub {
    /// Takes what other nodes say of a room.
    pub(super) fn hear(&self, key: &RoomKey, said: Elsewhere) {
        let later = match &said {
            Elsewhere::Present(entries) => {
                let entries = entries.iter().map(|(_, user, entry)| (user, entry));
                self.heard(entries)
            }
            Elsewhere::User(_, user, entry) => self.heard(entry.iter().map(|entry| (user, entry))),
            Elsewhere::Gone(_) | Elsewhere::Notice(_) => Vec::new(),
        };
        self.0.rooms.with(key, |room| {
            room.hear(said, Instant::now(), Timestamp::now());
        });
        for user in later {
            self.show_user(&user);
        }
    }

    /// Users with connections here who said on another node how they are, and that was not known here.
    fn heard<'a>(&self, entries: impl Iterator<Item = (&'a UserId, &'a Attending)>) -> Vec<UserId> {
        let later = entries.filter(|(user, entry)| {
            let heard = self.0.users.peek(user, |standing| standing.hear(entry));
            heard == Some(true)
        });
        later.map(|(user, _)| user.clone()).collect()
    }

    /// Shows a user everywhere as it is now, in whichever of its connections' rooms.
    fn show_user(&self, user: &UserId) {
        if let Some(one) = self.connections_of(user).first() {
            self.show(one, None);
        }
    }
}
