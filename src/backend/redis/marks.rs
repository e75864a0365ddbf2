//! The read marks: a hash and a sorted set by time for each room, set by a script in its place among the drafts.

use async_trait::async_trait;

use super::{
    RedisLog,
    keys::{self, Part},
    line, millis, number, scripts,
};
use crate::{
    backend::{
        ReadMarker, ReadMarkers, read_markers::MARKER_TOUCH_INTERVAL,
        retention::ROOM_TOUCH_INTERVAL,
    },
    error::Result,
    model::{RoomKey, Seq, UserId},
};

#[async_trait]
impl ReadMarkers for RedisLog {
    async fn advance(&self, room: &RoomKey, user: &UserId, seq: Seq) -> Result<ReadMarker> {
        self.check_open()?;
        let now = (self.shared.clock)();
        let keep = self.shared.retention.policy(&room.room);
        let mut command = scripts::mark([
            &self.shared.keys.room(room),
            &self.shared.keys.marks(room),
            &self.shared.keys.marked(room),
            &self.shared.keys.rooms(Part::of(room)),
        ]);
        command
            .arg(now.retention_clock.0)
            .arg(keys::name(room))
            .arg(user.as_str())
            .arg(number(seq.0))
            .arg(now.retention_clock.before(MARKER_TOUCH_INTERVAL).0)
            .arg(now.retention_clock.before(ROOM_TOUCH_INTERVAL).0)
            .arg(millis(keep.marker_ttl()));
        let answer = self.lanes.in_order(Part::of(room), command).await?;
        let (seq, head, moved): (u64, u64, u8) = line::read_as(answer)?;
        Ok(ReadMarker::at(Seq(seq), Seq(head), moved == 1))
    }

    async fn get(&self, room: &RoomKey, user: &UserId) -> Result<ReadMarker> {
        self.check_open()?;
        let mut head = redis::cmd("HGET");
        head.arg(self.shared.keys.room(room)).arg("head");
        let mut mark = redis::cmd("HGET");
        mark.arg(self.shared.keys.marks(room)).arg(user.as_str());
        // The mark first: read the other way about, it could be beyond the room's last message.
        let line = self.reads.of(Part::of(room));
        let answers = line.run(&[mark, head], line::Lost::Repeat).await?;
        let mut numbers = answers.into_iter().map(line::read_as::<Option<u64>>);
        let mut next = || numbers.next().transpose();
        let (mark, head) = (next()?.flatten(), next()?.flatten());
        Ok(ReadMarker::at(
            Seq(mark.unwrap_or(0)),
            Seq(head.unwrap_or(0)),
            false,
        ))
    }
}
