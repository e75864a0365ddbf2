//! The read markers of the embedded log: set by the writer in order with messages, read by the readers, deleted by trimming.

use async_trait::async_trait;

use super::{commands::WriteCommand, log::SqliteLog};
use crate::{
    backend::{ReadMarker, ReadMarkers},
    error::Result,
    model::{RoomKey, Seq, UserId},
};

#[async_trait]
impl ReadMarkers for SqliteLog {
    async fn advance(&self, room: &RoomKey, user: &UserId, seq: Seq) -> Result<ReadMarker> {
        self.check_open()?;
        self.request(|reply| WriteCommand::AdvanceMarker {
            room: room.clone(),
            user: user.clone(),
            seq,
            reply,
        })
        .await
    }

    async fn get(&self, room: &RoomKey, user: &UserId) -> Result<ReadMarker> {
        self.check_open()?;
        if self.unwritten.epoch(room).is_some() {
            return Ok(ReadMarker::default());
        }
        self.readers.read_marker(room.clone(), user.clone()).await
    }
}

#[cfg(test)]
mod tests;
