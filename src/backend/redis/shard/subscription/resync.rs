//! Compares every followed room with the log, and delivers what is missing, over all rooms in the order of offsets.
//!
//! The rooms stay subscribed meanwhile. So messages beyond the end up to which the log is read arrive in the queue; messages
//! in the queue that are not beyond it were just read, and are known by their offset.

use std::{collections::VecDeque, sync::Arc};

use redis::aio::MultiplexedConnection;

use super::{ListenEnd, PIPELINE_ROOMS, Subscription, rooms::RoomEnd};
use crate::{
    backend::{
        PageSize,
        redis::{
            client::{OnDisconnect, connect, reply},
            incarnation,
            keys::Partition,
            shard::{pages, stream::ShardItem},
            startup_check,
        },
    },
    error::Result,
    model::{Message, Offset},
    retry::log_rarely,
};

/// How much is read at a time, over all rooms; at least one message of each.
const READ_MESSAGES: usize = 1024;
const READ_BYTES: usize = 4 << 20;

/// A room that has more in the log than was delivered.
struct RoomReader {
    channel: String,
    end: RoomEnd,
    /// Everything up to here was read.
    read: Offset,
    /// What was read and not delivered yet.
    messages: VecDeque<Arc<Message>>,
    more: bool,
}

impl Subscription {
    /// Delivers what the followed rooms have in the log and was not delivered.
    pub(super) async fn resync(&mut self) -> Result<(), ListenEnd> {
        let barrier = self.barriers.next_number();
        self.gaps.clear();
        let end = self.raise().await?;
        let rooms = self.rooms_behind().await?;
        self.read_up_to(end, rooms).await?;
        self.resync_rosters().await?;
        self.refresh_incarnation().await?;
        self.announce(ShardItem::Watermark(end)).await;
        self.barrier_reached(barrier).await
    }

    /// Raises the shard's offset to the highest seen in any shard, and returns it. If Redis has lost data, the log's next
    /// incarnation begins.
    pub(super) async fn raise(&mut self) -> Result<Offset> {
        let raised = self.connection().query(self.clock.raise_command()).await?;
        let (offset, lost, incarnation_start): (u64, u8, u64) = reply::parse(raised)?;
        self.clock.observe(Offset(offset));
        self.data_lost |= lost == 1;
        if self.data_lost {
            log_rarely!(
                error,
                "Redis has lost acknowledged messages; the log begins a new incarnation"
            );
            let first = self.connections.of(Partition::FIRST);
            let next = incarnation::begin_next(&self.context.keys, first).await?;
            self.context.set_incarnation(next);
            self.data_lost = false;
        }
        if self.incarnation_start != Offset(incarnation_start) {
            self.reload_epochs(&self.rooms.channels()).await?;
            self.incarnation_start = Offset(incarnation_start);
        }
        Ok(Offset(offset))
    }

    /// Records that this process of Redis has lost nothing that this node knew of, or that the loss was dealt with. Nodes
    /// that start rely on it (`startup_check`).
    pub(super) async fn confirm_server(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), ListenEnd> {
        let queries = [startup_check::server_info(), redis::cmd("TIME")];
        let replies = connect::execute(connection, &queries).await?;
        let [info, time] = <[_; 2]>::try_from(replies).unwrap_or_default();
        let (seconds, micros): (u64, u64) = reply::parse(time)?;
        let now = seconds * 1000 + micros / 1000;
        // Where Redis does not tell its process, or takes no writes, nothing is recorded.
        let info: String = reply::parse(info).unwrap_or_default();
        let record = startup_check::confirm_server(&self.context.keys, self.shard(), &info, now);
        if let Some(record) = record {
            connect::execute(connection, &[record]).await?;
        }
        Ok(())
    }

    /// Compares the followed rooms with the log, and publishes a barrier if anything is missing: it may be in flight.
    pub(super) async fn check_for_gaps(
        &mut self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), ListenEnd> {
        self.gaps.clear();
        let behind = self.rooms_behind().await?;
        let behind = behind
            .into_iter()
            .map(|room| (room.channel, room.end.offset));
        let rosters = self.changed_rosters().await?;
        if self.gaps.record_missing(behind.collect(), rosters) {
            self.publish_barrier(connection).await?;
            self.gaps.decide_at(self.barriers.last());
        }
        Ok(())
    }

    /// The rooms that have more in the log than was delivered.
    async fn rooms_behind(&mut self) -> Result<Vec<RoomReader>> {
        let channels = self.rooms.channels();
        let ends = self.read_followed_ends(&channels, Self::stored_end).await?;
        let (mut behind, mut ahead) = (Vec::new(), Vec::new());
        for (channel, end) in channels.into_iter().zip(ends) {
            let room = self.rooms.get(&channel);
            let delivered = room
                .expect("only this task changes the followed rooms")
                .offset;
            if end.offset > delivered {
                behind.push(RoomReader {
                    channel,
                    end,
                    read: delivered,
                    messages: VecDeque::new(),
                    more: true,
                });
            } else if end.offset < delivered {
                ahead.push(channel);
            }
        }
        // Redis has lost messages of those that were delivered.
        self.reload_epochs(&ahead).await?;
        Ok(behind)
    }

    /// Reads the epochs that rooms have in the present incarnation, and where they end: Redis has lost data.
    pub(super) async fn reload_epochs(&mut self, channels: &[String]) -> Result<()> {
        let ends = self
            .read_followed_ends(channels, Self::end_in_incarnation)
            .await?;
        for (channel, end) in channels.iter().zip(ends) {
            let room = self.rooms.get_mut(channel);
            let room = room.expect("only this task changes the followed rooms");
            room.begin_epoch(end.epoch, end.head);
        }
        Ok(())
    }

    /// Delivers everything up to `end`, in the order of offsets.
    async fn read_up_to(&mut self, end: Offset, mut rooms: Vec<RoomReader>) -> Result<()> {
        let mut reached = Offset(0);
        while reached < end && !rooms.is_empty() {
            self.read_next_pages(&mut rooms, end).await?;
            let open = rooms.iter().filter(|room| room.more);
            reached = open.map(|room| room.read).min().unwrap_or(end);
            let mut found = Vec::new();
            for (nth, room) in rooms.iter_mut().enumerate() {
                while let Some(message) =
                    (room.messages).pop_front_if(|message| message.offset <= reached)
                {
                    found.push((nth, message));
                }
            }
            found.sort_unstable_by_key(|(_, message)| message.offset);
            for (nth, message) in found {
                let channel = &rooms[nth].channel;
                if let Some(room) = self.rooms.get_mut(channel) {
                    room.epoch = rooms[nth].end.epoch.clone();
                }
                self.deliver_message(channel, message).await;
            }
        }
        for reader in rooms {
            // What the log no longer has is delivered only if it is in the queue. Nobody should wait for that.
            if let Some(room) = self.rooms.get_mut(&reader.channel)
                && reader.end.offset <= end
                && reader.end.offset > room.offset
            {
                room.read_to_end(reader.end.epoch, reader.end.head);
                self.receipts.skipped(&reader.channel, reader.end.offset);
            }
        }
        Ok(())
    }

    /// Reads the next page of every room of which everything that was read is delivered.
    async fn read_next_pages(&self, rooms: &mut [RoomReader], end: Offset) -> Result<()> {
        let size = PageSize {
            messages: (READ_MESSAGES / rooms.len()).max(1),
            bytes: READ_BYTES / rooms.len(),
        };
        let now = (self.context.clock)();
        let mut empty: Vec<_> = rooms
            .iter_mut()
            .filter(|room| room.more && room.messages.is_empty())
            .filter_map(|reader| {
                let room = self.rooms.get(&reader.channel)?;
                Some((&room.key, reader))
            })
            .collect();
        for empty in empty.chunks_mut(PIPELINE_ROOMS) {
            let calls: Vec<_> = empty
                .iter()
                .map(|(room, reader)| {
                    let cutoff = self.context.retention.policy(&room.room).cutoff(now);
                    pages::missed_command(&self.context.keys, room, reader.read, end, size, cutoff)
                })
                .collect();
            let replies = self
                .connection()
                .execute(&calls, OnDisconnect::Retry)
                .await?;
            for ((room, reader), reply) in empty.iter_mut().zip(replies) {
                let page = pages::parse_missed(room, reply)?;
                reader.read = page.messages.last().map_or(end, |last| last.offset);
                reader.more = page.more;
                reader.messages = page.messages.into();
            }
        }
        Ok(())
    }
}
