//! How far the members of one room were told that users have read, and what of that waits because a user is over its budget
//! ([`fan_out`](super::fan_out)).
//!
//! Pure state. Only the furthest marker counts, so one that waits is overtaken by those that come after it.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use crate::model::{ConnectionId, Seq, UserId};

/// A user has read up to a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Read {
    pub(in crate::hub) user: UserId,
    pub(in crate::hub) seq: Seq,
    /// The connection that said so, if that is of this node.
    pub(in crate::hub) by: Option<ConnectionId>,
}

/// The users who have read in one room.
#[derive(Debug, Default)]
pub(in crate::hub) struct Readers {
    readers: HashMap<UserId, Reader>,
    due: BTreeSet<(Instant, UserId)>,
}

#[derive(Debug, Default)]
struct Reader {
    told: Seq,
    waiting: Option<Read>,
}

impl Readers {
    /// Takes how far a user has read; gives it back if that is to be told or put off, since nothing of the user waits and it is
    /// further than the members know: markers that are set by several connections at once can come here in any order.
    pub(in crate::hub) fn take(&mut self, read: Read) -> Option<Read> {
        let reader = self.readers.entry(read.user.clone()).or_default();
        if reader.told >= read.seq {
            return None;
        }
        let Some(waiting) = &mut reader.waiting else {
            reader.told = read.seq;
            return Some(read);
        };
        if waiting.seq < read.seq {
            *waiting = read;
        }
        None
    }

    /// Has what was given back wait until `at`.
    pub(in crate::hub) fn put_off(&mut self, read: Read, at: Instant) {
        let reader = self.readers.entry(read.user.clone()).or_default();
        self.due.insert((at, read.user.clone()));
        reader.waiting = Some(read);
    }

    /// The first marker whose time has come by `now`.
    pub(in crate::hub) fn take_due(&mut self, now: Instant) -> Option<Read> {
        self.next_deadline().filter(|at| *at <= now)?;
        let (_, user) = self.due.pop_first()?;
        let reader = self.readers.get_mut(&user)?;
        let read = reader.waiting.take()?;
        reader.told = reader.told.max(read.seq);
        Some(read)
    }

    /// When the next marker's time comes.
    pub(in crate::hub) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Users who are remembered.
    pub(in crate::hub) fn count(&self) -> usize {
        self.readers.len()
    }

    /// Forgets users who are not `here`, but not what waits.
    pub(in crate::hub) fn retain(&mut self, here: impl Fn(&UserId) -> bool) {
        self.readers
            .retain(|user, reader| reader.waiting.is_some() || here(user));
    }
}

#[cfg(test)]
mod tests;
