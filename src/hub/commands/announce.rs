//! `typing` and `read`: what a user tells a room about itself, that it is writing and how far it has read.

use std::time::Instant;

use serde::Serialize;

use crate::hub::{Connection, Hub, rooms::status::check_joined};
use crate::{
    auth::Permission,
    error::{Error, Limit, Result},
    model::{RoomName, Seq},
};

/// How far a user has read a room.
#[derive(Clone, Debug, Serialize)]
pub struct ReadTo {
    /// The room.
    pub room: RoomName,
    /// Up to this number; never less than before.
    pub seq: Seq,
    /// Messages after it.
    pub unread: u64,
}

impl Hub {
    /// A member types, or stops.
    pub fn typing(&self, connection: &Connection, room: &RoomName, typing: bool) -> Result<()> {
        let principal = connection.principal();
        if !principal.may(Permission::Publish, room) {
            return Err(Error::forbidden(format!(
                "this identity may not send to {room}"
            )));
        }
        check_joined(connection, room)?;
        self.0.rooms.with(&connection.key(room), |room| {
            let (user, name) = (&principal.user, principal.name.clone());
            if typing && room.rejects_typist(user) {
                self.0.metrics.limited(Limit::Typists);
            }
            room.set_typing(connection.id(), user, name, typing, Instant::now());
        });
        Ok(())
    }

    /// A member has read up to `seq`. The others are told if that is further than before.
    pub async fn read(&self, connection: &Connection, room: RoomName, seq: Seq) -> Result<ReadTo> {
        check_joined(connection, &room)?;
        let (key, user) = (connection.key(&room), connection.principal().user.clone());
        let mark = self
            .0
            .backend
            .read_markers
            .advance(&key, &user, seq)
            .await?;
        if mark.moved {
            self.0.rooms.with(&key, |room| {
                room.record_read(&user, mark.seq, Some(connection.id()), Instant::now());
            });
        }
        Ok(ReadTo {
            room,
            seq: mark.seq,
            unread: mark.unread,
        })
    }
}
