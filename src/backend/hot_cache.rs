//! The hot cache: the newest messages of all rooms in memory, so that most reads need no query.
//!
//! Holds only what is stored already. It is a window over everything that was stored, bounded in bytes: the message
//! stored longest ago is evicted first, whatever its room, and a room is evicted with its last message.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::{
    backend::{Missed, Page, PageSize, Range, recent::RecentMessages},
    model::{Epoch, Message, Offset, RoomKey, Seq, Timestamp},
    sync::lock,
};

/// Bytes that a cached message costs besides itself: its places in two queues and its share of the room's entry.
const MESSAGE_OVERHEAD: usize = 128;

/// A stored message, with the state of its room.
pub(super) struct CachedMessage {
    pub(super) message: Arc<Message>,
    pub(super) epoch: Epoch,
    /// The oldest message the room keeps.
    pub(super) oldest: Seq,
    /// The offset of the newest message that was deleted from it.
    pub(super) trimmed: Offset,
}

/// Shared by the writer and all readers.
pub(super) struct HotCache {
    max_bytes: usize,
    // A std mutex: it is held for a few map operations and never across an await.
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    rooms: HashMap<RoomKey, RecentMessages>,
    /// All cached messages, in the order in which they were stored. One whose room was removed is still listed and counted.
    order: VecDeque<Arc<Message>>,
    bytes: usize,
}

impl HotCache {
    /// An empty cache of at most `max_bytes` bytes.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            window: Mutex::default(),
        }
    }

    /// Adds messages that were just stored, in the order of their numbers.
    pub(super) fn extend(&self, stored: impl IntoIterator<Item = CachedMessage>) {
        let mut window = self.lock();
        for message in stored {
            window.push(message);
        }
        while window.bytes > self.max_bytes {
            window.evict();
        }
    }

    /// The messages of `room` before `oldest`, which are those up to the offset `trimmed`, were deleted.
    pub(super) fn trim(&self, room: &RoomKey, oldest: Seq, trimmed: Offset) {
        if let Some(recent) = self.lock().rooms.get_mut(room) {
            recent.trim(oldest, trimmed);
        }
    }

    /// The room was deleted.
    pub(super) fn remove_room(&self, room: &RoomKey) {
        self.lock().rooms.remove(room);
    }

    /// Records which message is the oldest that has not expired, as found by a full read.
    pub(super) fn record_oldest(&self, room: &RoomKey, epoch: &Epoch, seq: Seq, ts: Timestamp) {
        if let Some(recent) = self.lock().rooms.get_mut(room)
            && recent.epoch() == epoch
        {
            recent.record_oldest(seq, ts);
        }
    }

    /// The requested page, without messages from before `cutoff`; `None` if it needs messages that are not cached.
    pub(super) fn page(
        &self,
        room: &RoomKey,
        range: Range,
        size: PageSize,
        cutoff: Timestamp,
    ) -> Option<Page> {
        self.lock().rooms.get(room)?.page(range, size, cutoff)
    }

    /// What was missed between two offsets, without messages from before `cutoff`; `None` if it needs messages that are not
    /// cached.
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

    /// Bytes in the cache.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        lock(&self.window)
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
        self.bytes += message.cost() + MESSAGE_OVERHEAD;
        self.order.push_back(message);
    }

    fn evict(&mut self) {
        let Some(message) = self.order.pop_front() else {
            return;
        };
        self.bytes -= message.cost() + MESSAGE_OVERHEAD;
        let Some(recent) = self.rooms.get_mut(&message.room) else {
            return;
        };
        // The room may have been deleted and created anew since this message was listed.
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
