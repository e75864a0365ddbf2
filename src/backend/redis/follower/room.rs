//! A room that is followed: how far it was delivered, and whose receipts wait for that.

use std::collections::VecDeque;

use redis::{Cmd, Value};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    backend::{
        Appended,
        redis::{keys::Keys, line},
    },
    error::Result,
    model::{Epoch, Offset, RoomKey, Seq},
};

/// A stored message whose receipt is not settled.
pub(in crate::backend::redis) struct Stored {
    pub(in crate::backend::redis) offset: Offset,
    pub(in crate::backend::redis) appended: Appended,
    pub(in crate::backend::redis) settle: oneshot::Sender<Result<Appended>>,
    pub(in crate::backend::redis) _space: OwnedSemaphorePermit,
}

impl Stored {
    pub(in crate::backend::redis) fn settle(self) {
        // Nobody may be waiting; it is stored all the same.
        let _ = self.settle.send(Ok(self.appended));
    }
}

/// A room that is followed.
pub(super) struct Followed {
    pub(super) key: RoomKey,
    /// Everything up to here was delivered, or is from before the room was followed.
    pub(super) epoch: Epoch,
    pub(super) seq: Seq,
    pub(super) offset: Offset,
    /// Up to here the log was looked at: what it no longer has may be left out.
    pub(super) looked: Seq,
    /// The version of who is there, if it was read.
    pub(super) roster: Option<u64>,
    /// Receipts whose messages were not yet delivered, in the order of offsets.
    pub(super) waiting: VecDeque<Stored>,
}

impl Followed {
    /// A room from where it ends on.
    pub(super) fn from(key: RoomKey, (epoch, seq, offset): (Epoch, Seq, Offset)) -> Self {
        Self {
            key,
            epoch,
            seq,
            offset,
            looked: seq,
            roster: None,
            waiting: VecDeque::new(),
        }
    }

    /// Whether nothing that the log still has is between what was delivered and a message.
    pub(super) fn precedes(&self, epoch: &Epoch, seq: Seq) -> bool {
        match self.epoch == *epoch {
            true => seq <= self.seq.max(self.looked).next(),
            false => seq == Seq(1),
        }
    }

    pub(super) fn advance(&mut self, seq: Seq, offset: Offset) {
        self.seq = seq;
        self.offset = offset;
    }

    /// The next receipt whose message was delivered.
    pub(super) fn delivered(&mut self) -> Option<Stored> {
        let offset = self.offset;
        self.waiting.pop_front_if(|it| it.offset <= offset)
    }

    pub(super) fn settle(&mut self, offset: Offset) {
        while let Some(stored) = self.waiting.pop_front_if(|it| it.offset <= offset) {
            stored.settle();
        }
    }
}

/// Asks where a room ends.
pub(super) fn end_of(keys: &Keys, room: &RoomKey) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command
        .arg(keys.room(room))
        .arg("epoch")
        .arg("head")
        .arg("offset");
    command
}

/// Where a room ends; at the beginning, if there is none.
pub(super) fn read_end(answer: Value) -> Result<(Epoch, Seq, Offset)> {
    let (epoch, head, offset): (Option<String>, Option<u64>, Option<u64>) = line::read_as(answer)?;
    Ok((
        Epoch::from_text(epoch.as_deref().unwrap_or_default()),
        Seq(head.unwrap_or(0)),
        Offset(offset.unwrap_or(0)),
    ))
}
