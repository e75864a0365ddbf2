//! The followed rooms, and how far each was delivered. No I/O.

use std::collections::HashMap;

use crate::model::{Epoch, Message, Offset, RoomKey, Seq};

/// The followed rooms, by channel.
#[derive(Default)]
pub(super) struct FollowedRooms(HashMap<String, RoomCursor>);

/// A followed room. Everything up to `seq` and `offset` was delivered, or is older than the subscription.
pub(super) struct RoomCursor {
    pub(super) key: RoomKey,
    pub(super) epoch: Epoch,
    pub(super) seq: Seq,
    pub(super) offset: Offset,
    /// The log was read up to here: numbers up to this that were not delivered are no longer kept, and no gap.
    read_up_to: Seq,
    /// The version of the room's roster, once it was read.
    pub(super) roster_version: Option<u64>,
}

/// Where a room ends in the log; a room that does not exist ends at 0.
pub(super) struct RoomEnd {
    pub(super) epoch: Epoch,
    /// The number of its last message.
    pub(super) head: Seq,
    /// The offset of that message.
    pub(super) offset: Offset,
}

/// Where a message is, compared with what was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessagePosition {
    /// It was delivered already.
    Delivered,
    /// It is the next one.
    Next,
    /// Messages before it were not delivered.
    BehindGap,
}

impl FollowedRooms {
    /// Whether messages may come in any of them.
    pub(super) fn have_messages(&self) -> bool {
        self.0.values().any(|room| room.key.has_messages())
    }

    pub(super) fn contains(&self, channel: &str) -> bool {
        self.0.contains_key(channel)
    }

    pub(super) fn get(&self, channel: &str) -> Option<&RoomCursor> {
        self.0.get(channel)
    }

    pub(super) fn get_mut(&mut self, channel: &str) -> Option<&mut RoomCursor> {
        self.0.get_mut(channel)
    }

    pub(super) fn channels(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &RoomCursor)> {
        self.0.iter()
    }

    /// Follows a room from its end on, unless it is followed already.
    pub(super) fn insert(&mut self, channel: String, room: RoomKey, end: RoomEnd) {
        self.0
            .entry(channel)
            .or_insert_with(|| RoomCursor::at(room, end));
    }

    /// Stops following; false if the room was not followed.
    pub(super) fn remove(&mut self, channel: &str) -> bool {
        self.0.remove(channel).is_some()
    }
}

impl RoomCursor {
    /// A room that is followed from its end on.
    fn at(key: RoomKey, end: RoomEnd) -> Self {
        Self {
            key,
            epoch: end.epoch,
            seq: end.head,
            offset: end.offset,
            read_up_to: end.head,
            roster_version: None,
        }
    }

    /// Where a published message is. Offsets tell what was delivered, the room's own numbers, which have no gaps, what is
    /// missing.
    pub(super) fn position(&self, epoch: &Epoch, message: &Message) -> MessagePosition {
        if message.offset <= self.offset {
            return MessagePosition::Delivered;
        }
        let is_next = match self.epoch == *epoch {
            true => message.seq <= self.seq.max(self.read_up_to).next(),
            false => message.seq == Seq(1),
        };
        match is_next {
            true => MessagePosition::Next,
            false => MessagePosition::BehindGap,
        }
    }

    /// A message was delivered.
    pub(super) fn advance(&mut self, seq: Seq, offset: Offset) {
        self.seq = seq;
        self.offset = offset;
    }

    /// The log was read up to its end: what was not delivered of it is no longer kept.
    pub(super) fn read_to_end(&mut self, epoch: Epoch, head: Seq) {
        if self.epoch != epoch {
            (self.epoch, self.seq) = (epoch, Seq(0));
        }
        self.read_up_to = head;
    }

    /// The room continues under another epoch after `head`, because Redis has lost data. New messages have higher offsets
    /// than those that were delivered.
    pub(super) fn begin_epoch(&mut self, epoch: Epoch, head: Seq) {
        (self.epoch, self.seq, self.read_up_to) = (epoch, head, head);
    }
}

#[cfg(test)]
mod tests;
