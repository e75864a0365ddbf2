//! Read markers ([`ReadMarkers`]): a hash and a sorted set by time for each room, changed in order with the room's messages.

use async_trait::async_trait;

use super::RedisLog;
use crate::{
    backend::{
        ReadMarker, ReadMarkers,
        read_markers::MARKER_TOUCH_INTERVAL,
        redis::{
            client::{OnDisconnect, reply},
            keys::{self, Partition},
            scripts::{self, millis, number},
        },
        retention::ROOM_TOUCH_INTERVAL,
    },
    error::Result,
    model::{RoomKey, Seq, UserId},
};

#[async_trait]
impl ReadMarkers for RedisLog {
    async fn advance(&self, room: &RoomKey, user: &UserId, seq: Seq) -> Result<ReadMarker> {
        self.check_open()?;
        let now = (self.context.clock)();
        let keep = self.context.retention.policy(&room.room);
        let mut command = scripts::advance_read_marker([
            &self.context.keys.room(room),
            &self.context.keys.read_markers(room),
            &self.context.keys.read_marker_times(room),
            &self.context.keys.rooms(Partition::of(room)),
        ]);
        command
            .arg(now.retention_clock.0)
            .arg(keys::room_name(room))
            .arg(user.as_str())
            .arg(number(seq.0))
            .arg(now.retention_clock.before(MARKER_TOUCH_INTERVAL).0)
            .arg(now.retention_clock.before(ROOM_TOUCH_INTERVAL).0)
            .arg(millis(keep.marker_ttl()));
        let partition = Partition::of(room);
        let reply = self.shards.execute_in_order(partition, command).await?;
        let (seq, head, moved): (u64, u64, u8) = reply::parse(reply)?;
        Ok(ReadMarker::at(Seq(seq), Seq(head), moved == 1))
    }

    async fn get(&self, room: &RoomKey, user: &UserId) -> Result<ReadMarker> {
        self.check_open()?;
        let mut head = redis::cmd("HGET");
        head.arg(self.context.keys.room(room)).arg("head");
        let mut marker = redis::cmd("HGET");
        marker
            .arg(self.context.keys.read_markers(room))
            .arg(user.as_str());
        // The marker first: read after the head, it could be beyond the room's last message.
        let connection = self.connections.of(Partition::of(room));
        let replies = connection
            .execute(&[marker, head], OnDisconnect::Retry)
            .await?;
        let mut numbers = replies.into_iter().map(reply::parse::<Option<u64>>);
        let mut next = || numbers.next().transpose();
        let (marker, head) = (next()?.flatten(), next()?.flatten());
        Ok(ReadMarker::at(
            Seq(marker.unwrap_or(0)),
            Seq(head.unwrap_or(0)),
            false,
        ))
    }
}
