//! Finding what was lost: every followed room is compared with its end, and what is missing is read and delivered, over
//! all rooms in one order.
//!
//! The rooms are listened to while this goes on, so whatever is stored later than the end that is read up to waits in the
//! queue; what waits there and is not newer will be known by its offset.

use std::{collections::VecDeque, sync::Arc};

use redis::{Cmd, aio::MultiplexedConnection};

use super::{CHUNK, End, Follower, end_of, read_end};
use crate::{
    backend::{
        PageSize, epoch,
        redis::{
            begin_life, identity,
            keys::{self, Part},
            line::{self, Lost},
            merger::Item,
            pages, scripts,
        },
    },
    error::Result,
    model::{Epoch, Message, Offset, RoomKey, Seq},
    repeat::log_rarely,
};

/// What is read at a time, over all rooms; of each room one message at least.
const MESSAGES: usize = 1024;
const BYTES: usize = 4 << 20;

/// A room that has more than was delivered.
struct Reading {
    channel: String,
    epoch: Epoch,
    head: Seq,
    end: Offset,
    /// Everything up to here was read.
    read: Offset,
    messages: VecDeque<Arc<Message>>,
    more: bool,
}

impl Follower {
    /// Delivers whatever the followed rooms have that was not delivered.
    pub(super) async fn resync(&mut self) -> Result<(), End> {
        self.words += 1;
        let words = self.words;
        self.suspects.clear();
        self.suspected_rosters.clear();
        let end = self.raise().await?;
        let readings = self.behind().await?;
        self.read_up_to(end, readings).await?;
        self.compare_rosters().await?;
        self.look_at_life().await?;
        self.say(Item::Past(end)).await;
        self.reached(words).await
    }

    /// Raises the lane to whatever was seen in any; where it is then. If it has lost something, the log begins another life.
    pub(super) async fn raise(&mut self) -> Result<Offset> {
        let raised = self.line().ask(self.order.raise()).await?;
        let (offset, lost, floor): (u64, u8, u64) = line::read_as(raised)?;
        self.order.know(Offset(offset));
        self.lost |= lost == 1;
        if self.lost {
            log_rarely!(
                error,
                "Redis has lost messages that it had acknowledged; its log begins another life"
            );
            let life = begin_life(&self.shared.keys, self.reads.of(Part::FIRST)).await?;
            self.shared.live(life);
            self.lost = false;
        }
        if self.floor != Offset(floor) {
            let all: Vec<_> = self.rooms.keys().cloned().collect();
            self.renew(&all).await?;
            self.floor = Offset(floor);
        }
        Ok(Offset(offset))
    }

    /// Notes that the process of Redis at the other end has nothing lost of what this node knew, or that this was seen to.
    pub(super) async fn vouch(&self, connection: &mut MultiplexedConnection) -> Result<(), End> {
        let asks = [identity::info(), redis::cmd("TIME")];
        let answers = line::exchange(connection, &asks).await?;
        let [info, time] = <[_; 2]>::try_from(answers).unwrap_or_default();
        let (seconds, micros): (u64, u64) = line::read_as(time)?;
        // Where Redis does not say which process it is, or takes no writes, nothing is noted.
        let now = seconds * 1000 + micros / 1000;
        let info: String = line::read_as(info).unwrap_or_default();
        let note = identity::vouch(&self.shared.keys, self.order.part(), &info, now);
        if let Some(note) = note {
            line::exchange(connection, &[note]).await?;
        }
        Ok(())
    }

    /// Looks which rooms have more than was delivered. It may be on its way: whether anything was lost is known when a word
    /// comes that is said now.
    pub(super) async fn suspect(
        &mut self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), End> {
        self.suspects.clear();
        let behind = self.behind().await?;
        let ends = behind
            .into_iter()
            .map(|reading| (reading.channel, reading.end));
        self.suspects.extend(ends);
        self.suspected_rosters = self.changed_rosters().await?;
        if !self.suspects.is_empty() || !self.suspected_rosters.is_empty() {
            self.say_word(connection).await?;
            self.suspected = self.words;
        }
        Ok(())
    }

    /// Whether a suspected room still has not been delivered what it had.
    pub(super) fn has_lost_something(&mut self) -> bool {
        let suspects = std::mem::take(&mut self.suspects);
        let lost = suspects.iter().any(|(channel, end)| {
            let room = self.rooms.get(channel);
            room.is_some_and(|room| room.offset < *end)
        });
        self.has_lost_changes() || lost
    }

    /// The rooms that end further on than they were delivered.
    async fn behind(&mut self) -> Result<Vec<Reading>> {
        let channels: Vec<_> = self.rooms.keys().cloned().collect();
        let (mut behind, mut lost) = (Vec::new(), Vec::new());
        for channels in channels.chunks(CHUNK) {
            let ends: Vec<_> = channels
                .iter()
                .map(|channel| end_of(&self.shared.keys, &self.rooms[channel].key))
                .collect();
            let ends = self.line().run(&ends, Lost::Repeat).await?;
            for (channel, end) in channels.iter().zip(ends) {
                let (epoch, head, end) = read_end(end)?;
                let room = self.rooms.get_mut(channel);
                let room = room.expect("nobody else changes them");
                if end > room.offset {
                    behind.push(Reading {
                        channel: channel.clone(),
                        epoch,
                        head,
                        end,
                        read: room.offset,
                        messages: VecDeque::new(),
                        more: true,
                    });
                } else if end < room.offset {
                    lost.push(channel.clone());
                }
            }
        }
        self.renew(&lost).await?;
        Ok(behind)
    }

    /// Goes on where rooms now end whose epochs are others since Redis has lost something.
    pub(super) async fn renew(&mut self, channels: &[String]) -> Result<()> {
        for channels in channels.chunks(CHUNK) {
            let ends: Vec<_> = channels
                .iter()
                .map(|channel| self.end_in_incarnation(&self.rooms[channel].key))
                .collect();
            let ends = self.line().run(&ends, Lost::Repeat).await?;
            for (channel, end) in channels.iter().zip(ends) {
                let (epoch, head, _) = read_end(end)?;
                let room = self.rooms.get_mut(channel);
                let room = room.expect("nobody else changes them");
                // What comes has higher offsets than what was delivered, and any receipt is of that.
                (room.epoch, room.seq, room.looked) = (epoch, head, head);
            }
        }
        Ok(())
    }

    /// Asks where a room ends, and for its epoch whether or not it was written in this incarnation.
    fn end_in_incarnation(&self, room: &RoomKey) -> Cmd {
        let part = Part::of(room);
        let mut end = scripts::end([
            &self.shared.keys.room(room),
            &self.shared.keys.rooms(part),
            &self.shared.keys.incarnation(self.order.part()),
            &self.shared.keys.forgotten(part),
        ]);
        end.arg(Epoch::fresh().as_str())
            .arg(keys::name(room))
            .arg(epoch::slot(room));
        end
    }

    /// Delivers everything up to `end`, in the order of offsets.
    async fn read_up_to(&mut self, end: Offset, mut readings: Vec<Reading>) -> Result<()> {
        let mut reached = Offset(0);
        while reached < end && !readings.is_empty() {
            self.read_on(&mut readings, end).await?;
            let open = readings.iter().filter(|reading| reading.more);
            reached = open.map(|reading| reading.read).min().unwrap_or(end);
            let mut found = Vec::new();
            for (nth, reading) in readings.iter_mut().enumerate() {
                while let Some(message) =
                    (reading.messages).pop_front_if(|message| message.offset <= reached)
                {
                    found.push((nth, message));
                }
            }
            found.sort_unstable_by_key(|(_, message)| message.offset);
            for (nth, message) in found {
                let channel = &readings[nth].channel;
                if let Some(room) = self.rooms.get_mut(channel) {
                    room.epoch = readings[nth].epoch.clone();
                }
                self.deliver(channel, message).await;
            }
        }
        for reading in readings {
            // What the log has no more comes only if it waits in the queue. Nobody should wait for that.
            if let Some(room) = self.rooms.get_mut(&reading.channel)
                && reading.end <= end
                && reading.end > room.offset
            {
                if room.epoch != reading.epoch {
                    (room.epoch, room.seq) = (reading.epoch, Seq(0));
                }
                room.looked = reading.head;
                room.settle(reading.end);
            }
        }
        Ok(())
    }

    /// Reads the next page of every room that has nothing left to deliver.
    async fn read_on(&self, readings: &mut [Reading], end: Offset) -> Result<()> {
        let size = PageSize {
            messages: (MESSAGES / readings.len()).max(1),
            bytes: BYTES / readings.len(),
        };
        let now = (self.shared.clock)();
        let mut wanting: Vec<_> = readings
            .iter_mut()
            .filter(|reading| reading.more && reading.messages.is_empty())
            .collect();
        for wanting in wanting.chunks_mut(CHUNK) {
            let calls: Vec<_> = wanting
                .iter()
                .map(|reading| {
                    let room = &self.rooms[&reading.channel].key;
                    let cutoff = self.shared.retention.policy(&room.room).cutoff(now);
                    pages::missed(&self.shared.keys, room, reading.read, end, size, cutoff)
                })
                .collect();
            let answers = self.line().run(&calls, Lost::Repeat).await?;
            for (reading, answer) in wanting.iter_mut().zip(answers) {
                let page = pages::read_missed(&self.rooms[&reading.channel].key, answer)?;
                reading.read = page.messages.last().map_or(end, |last| last.offset);
                reading.more = page.more;
                reading.messages = page.messages.into();
            }
        }
        Ok(())
    }
}
