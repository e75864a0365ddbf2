//! Reads where rooms end in the log.

use redis::{Cmd, Value};

use super::{PIPELINE_ROOMS, Subscription, rooms::RoomEnd};
use crate::{
    backend::{
        epoch,
        redis::{
            client::{OnDisconnect, reply},
            keys::{self, Partition},
            scripts,
        },
    },
    error::Result,
    model::{Epoch, Incarnation, Offset, RoomKey, Seq},
};

/// Builds the command that reads where a room ends: [`Subscription::stored_end`] or [`Subscription::end_in_incarnation`].
pub(super) type EndCommand = fn(&Subscription, &RoomKey) -> Cmd;

impl Subscription {
    /// Reads where rooms end, in their order.
    pub(super) async fn read_ends(
        &self,
        rooms: &[&RoomKey],
        command: EndCommand,
    ) -> Result<Vec<RoomEnd>> {
        let mut ends = Vec::with_capacity(rooms.len());
        for rooms in rooms.chunks(PIPELINE_ROOMS) {
            let commands: Vec<_> = rooms.iter().map(|room| command(self, room)).collect();
            let replies = self
                .connection()
                .execute(&commands, OnDisconnect::Retry)
                .await?;
            for reply in replies {
                ends.push(parse_room_end(reply)?);
            }
        }
        Ok(ends)
    }

    /// As [`read_ends`](Self::read_ends), for the followed rooms of these channels.
    pub(super) async fn read_followed_ends(
        &self,
        channels: &[String],
        command: EndCommand,
    ) -> Result<Vec<RoomEnd>> {
        let rooms = channels
            .iter()
            .filter_map(|channel| self.rooms.get(channel));
        let rooms: Vec<_> = rooms.map(|room| &room.key).collect();
        self.read_ends(&rooms, command).await
    }

    /// Reads where a room ends as it is stored, which may be in an earlier incarnation.
    pub(super) fn stored_end(&self, room: &RoomKey) -> Cmd {
        let mut command = redis::cmd("HMGET");
        command
            .arg(self.context.keys.room(room))
            .arg("epoch")
            .arg("head")
            .arg("offset");
        command
    }

    /// Reads where a room ends and its epoch in the present incarnation, whether or not it was written to in it.
    pub(super) fn end_in_incarnation(&self, room: &RoomKey) -> Cmd {
        let keys = &self.context.keys;
        let partition = Partition::of(room);
        let mut end = scripts::room_end([
            &keys.room(room),
            &keys.rooms(partition),
            &keys.shard_incarnation(self.shard()),
            &keys.forgotten(partition),
        ]);
        end.arg(Incarnation::generate().as_str())
            .arg(keys::room_name(room))
            .arg(epoch::slot(room));
        end
    }
}

fn parse_room_end(reply: Value) -> Result<RoomEnd> {
    let (epoch, head, offset): (Option<String>, Option<u64>, Option<u64>) = reply::parse(reply)?;
    Ok(RoomEnd {
        epoch: Epoch::from_text(epoch.as_deref().unwrap_or_default()),
        head: Seq(head.unwrap_or(0)),
        offset: Offset(offset.unwrap_or(0)),
    })
}
