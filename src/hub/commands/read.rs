//! `read`: a member says how far it has read a room.

use std::time::Instant;

use serde::Serialize;

use crate::{
    error::Result,
    hub::{Connection, Hub, rooms::status::check_joined},
    model::{RoomName, Seq},
};

/// How far a user has read a room.
#[derive(Clone, Debug, Serialize)]
pub struct ReadPosition {
    /// The room.
    pub room: RoomName,
    /// The number of the last message that it has read; never lower than before.
    pub seq: Seq,
    /// Messages after it.
    pub unread: u64,
}

impl Hub {
    /// Moves a member's read marker to `seq`. The other members are told if that is further than before.
    ///
    /// # Errors
    /// Fails with `not_joined` if it is not in the room, and `unavailable` if the marker cannot be stored.
    pub async fn read(
        &self,
        connection: &Connection,
        room: RoomName,
        seq: Seq,
    ) -> Result<ReadPosition> {
        check_joined(connection, &room)?;
        let (key, user) = (
            connection.room_key(&room),
            connection.principal().user.clone(),
        );
        let markers = &self.backend().read_markers;
        let marker = markers.advance(&key, &user, seq).await?;
        if marker.moved {
            self.rooms().with(&key, |room| {
                room.record_read(&user, marker.seq, Some(connection.id()), Instant::now());
            });
        }
        Ok(ReadPosition {
            room,
            seq: marker.seq,
            unread: marker.unread,
        })
    }
}
