//! The hot tail: the newest messages of all rooms in memory, so that most reads need no storage.
//!
//! Holds only what is stored already. It is a window over everything that was stored, bounded in bytes: the message
//! stored longest ago leaves first, whatever its room, and a room leaves with its last message here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    backend::{Missed, Page, PageSize, Range, recent::RecentMessages},
    model::{Epoch, Message, Offset, RoomKey, Seq, Timestamp},
};

/// What a message costs here besides itself: its places in two queues and its share of the room's entry.
const OVERHEAD: usize = 128;

/// A stored message with what its room looks like now.
pub(super) struct CachedMessage {
    pub(super) message: Arc<Message>,
    pub(super) epoch: Epoch,
    /// The oldest message the room keeps.
    pub(super) oldest: Seq,
    /// The offset of the newest one that it does not keep any more.
    pub(super) trimmed: Offset,
}

/// Shared by whoever stores and whoever reads.
pub(super) struct HotCache {
    most: usize,
    // A std mutex: it is held for a few map operations and never across an await.
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    rooms: HashMap<RoomKey, RecentMessages>,
    /// Every message here, in the order stored. One whose room was forgotten is still listed, and counted.
    order: VecDeque<Arc<Message>>,
    bytes: usize,
}

impl HotCache {
    /// An empty tail of at most `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            window: Mutex::default(),
        }
    }

    /// Takes what was just stored, in the order of its numbers.
    pub(super) fn extend(&self, stored: impl IntoIterator<Item = CachedMessage>) {
        let mut window = self.lock();
        for message in stored {
            window.push(message);
        }
        while window.bytes > self.most {
            window.evict();
        }
    }

    /// Nothing of `room` before `oldest` is kept any more, nor anything up to the offset `trimmed`.
    pub(super) fn trim(&self, room: &RoomKey, oldest: Seq, trimmed: Offset) {
        if let Some(recent) = self.lock().rooms.get_mut(room) {
            recent.trim(oldest, trimmed);
        }
    }

    /// The room does not exist any more.
    pub(super) fn remove_room(&self, room: &RoomKey) {
        self.lock().rooms.remove(room);
    }

    /// Learns from a full read which message was the oldest young enough.
    pub(super) fn learn(&self, room: &RoomKey, epoch: &Epoch, seq: Seq, ts: Timestamp) {
        if let Some(recent) = self.lock().rooms.get_mut(room)
            && recent.epoch() == epoch
        {
            recent.learn(seq, ts);
        }
    }

    /// The page asked for, without what is from before `cutoff`; `None` if more than the tail is needed.
    pub(super) fn page(
        &self,
        room: &RoomKey,
        range: Range,
        size: PageSize,
        cutoff: Timestamp,
    ) -> Option<Page> {
        self.lock().rooms.get(room)?.page(range, size, cutoff)
    }

    /// What was missed between two offsets, without what is from before `cutoff`; `None` if more than the tail is needed.
    pub(super) fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
        cutoff: Timestamp,
    ) -> Option<Missed> {
        let window = self.lock();
        window.rooms.get(room)?.missed(after, until, size, cutoff)
    }

    /// Bytes held now.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn push(&mut self, stored: CachedMessage) {
        let CachedMessage {
            message,
            epoch,
            oldest,
            trimmed,
        } = stored;
        let before = Seq(message.seq.0 - 1);
        let recent = self
            .rooms
            .entry(message.room.clone())
            .or_insert_with(|| RecentMessages::new(epoch, before, oldest));
        recent.trim(oldest, trimmed);
        recent.push(message.clone());
        self.bytes += message.cost() + OVERHEAD;
        self.order.push_back(message);
    }

    fn evict(&mut self) {
        let Some(message) = self.order.pop_front() else {
            return;
        };
        self.bytes -= message.cost() + OVERHEAD;
        let Some(recent) = self.rooms.get_mut(&message.room) else {
            return;
        };
        // The room may have been forgotten and written anew since this message was listed.
        if recent
            .front()
            .is_some_and(|front| Arc::ptr_eq(front, &message))
        {
            recent.unload_front();
        }
        if recent.is_empty() {
            self.rooms.remove(&message.room);
        }
    }
}

#[cfg(test)]
mod tests;
