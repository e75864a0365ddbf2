//! The newest messages of one room in memory, and the pages that can be served from them.
//!
//! Knows nothing of where older messages are: it returns `None` for a page that needs them.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    backend::{Missed, Page, PageSize, Range},
    model::{Epoch, Message, Offset, Seq, Timestamp},
};

/// A run of messages without gaps that ends with the room's last one.
#[derive(Debug)]
pub(super) struct RecentMessages {
    epoch: Epoch,
    head: Seq,
    /// The offset of the last message that was added; 0 before the first.
    offset: Offset,
    /// No message before this one is stored; it need not be in memory.
    oldest: Seq,
    /// The offset of the newest message that was deleted; 0 if there is none.
    trimmed: Offset,
    /// The oldest unexpired message as of the last full read, and its time. It stays the oldest until it expires itself,
    /// since timestamps never decrease within a room.
    oldest_read: Option<(Seq, Timestamp)>,
    messages: VecDeque<Arc<Message>>,
}

impl RecentMessages {
    /// A room whose last message is `head` and whose oldest stored one is `oldest`, none of them in memory.
    pub(super) fn new(epoch: Epoch, head: Seq, oldest: Seq) -> Self {
        Self {
            epoch,
            head,
            offset: Offset(0),
            oldest,
            trimmed: Offset(0),
            oldest_read: None,
            messages: VecDeque::new(),
        }
    }

    pub(super) fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    pub(super) fn head(&self) -> Seq {
        self.head
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn front(&self) -> Option<&Arc<Message>> {
        self.messages.front()
    }

    /// Adds the room's next message.
    pub(super) fn push(&mut self, message: Arc<Message>) {
        debug_assert_eq!(message.seq, self.head.next());
        self.head = message.seq;
        self.offset = message.offset;
        self.messages.push_back(message);
    }

    /// Drops the first message from memory only; it is still stored elsewhere.
    pub(super) fn unload_front(&mut self) {
        self.messages.pop_front();
    }

    /// The messages before `oldest` were deleted, here and elsewhere; the newest of them had the offset `trimmed`.
    pub(super) fn trim(&mut self, oldest: Seq, trimmed: Offset) {
        self.oldest = self.oldest.max(oldest);
        self.trimmed = self.trimmed.max(trimmed);
    }

    /// Deletes messages before `oldest` or from before `cutoff`, from memory, too.
    pub(super) fn drop_old(&mut self, oldest: Seq, cutoff: Timestamp) {
        while let Some(front) = self.messages.front()
            && (front.seq < oldest || front.ts < cutoff)
        {
            let (next, offset) = (front.seq.next(), front.offset);
            self.trim(next, offset);
            self.messages.pop_front();
        }
    }

    /// Records which message is the oldest unexpired one, as found by a read of all of them.
    pub(super) fn record_oldest(&mut self, seq: Seq, ts: Timestamp) {
        if self.oldest_read.is_none_or(|(before, _)| before < seq) {
            self.oldest_read = Some((seq, ts));
        }
    }

    /// The first number in memory, or the next one.
    fn first(&self) -> Seq {
        self.messages
            .front()
            .map_or(self.head.next(), |front| front.seq)
    }

    fn index(&self, seq: Seq) -> usize {
        usize::try_from(seq.0.saturating_sub(self.first().0)).unwrap_or(usize::MAX)
    }

    /// The oldest stored message that is not from before `cutoff`, if it can be determined from memory.
    fn oldest(&self, cutoff: Timestamp) -> Option<Seq> {
        let first = self.first();
        let front_is_old = self.front().is_some_and(|front| front.ts < cutoff);
        if self.oldest >= first || front_is_old {
            let old = self.messages.partition_point(|message| message.ts < cutoff);
            return Some(self.oldest.max(Seq(first.0 + old as u64)));
        }
        self.oldest_read
            .filter(|&(seq, ts)| seq >= self.oldest && ts >= cutoff)
            .map(|(seq, _)| seq)
    }

    /// The requested page, or `None` if it needs messages that are not in memory.
    pub(super) fn page(&self, range: Range, size: PageSize, cutoff: Timestamp) -> Option<Page> {
        let oldest = self.oldest(cutoff)?;
        let (messages, more) = match range {
            Range::After(seq) => self.forward(seq.min(self.head).next().max(oldest), size)?,
            Range::Before(seq) => self.backward(seq.min(self.head.next()), oldest, size)?,
            Range::Last => self.backward(self.head.next(), oldest, size)?,
        };
        Some(Page {
            epoch: self.epoch.clone(),
            head: self.head,
            offset: self.offset,
            oldest,
            messages,
            more,
        })
    }

    /// The messages after one offset and up to another, or `None` if some of them may be stored elsewhere only.
    pub(super) fn missed(
        &self,
        after: Offset,
        until: Offset,
        size: PageSize,
        cutoff: Timestamp,
    ) -> Option<Missed> {
        let all_in_memory = self.oldest >= self.first();
        let begins_before = self.front().is_some_and(|front| front.offset <= after);
        if !all_in_memory && !begins_before && self.offset > after {
            return None;
        }
        let is_deleted = |message: &Message| message.seq < self.oldest;
        let messages = &self.messages;
        let start =
            messages.partition_point(|message| is_deleted(message) || message.offset <= after);
        let first_unexpired =
            messages.partition_point(|message| is_deleted(message) || message.ts < cutoff);
        let from = start.max(first_unexpired);
        let end = messages.partition_point(|message| message.offset <= until);
        let end = end.max(from);
        let mut budget = PageBudget::new(size);
        let taken: Vec<_> = messages
            .range(from..end)
            .take_while(|message| budget.admits(message.data.get().len()))
            .cloned()
            .collect();
        Some(Missed {
            more: taken.len() < end - from,
            messages: taken,
            complete: self.trimmed <= after && first_unexpired <= start,
        })
    }

    fn forward(&self, from: Seq, size: PageSize) -> Option<(Vec<Arc<Message>>, bool)> {
        if from > self.head || size.messages == 0 {
            return Some((Vec::new(), from <= self.head));
        }
        if from < self.first() {
            return None;
        }
        let mut budget = PageBudget::new(size);
        let taken: Vec<_> = self
            .messages
            .range(self.index(from)..)
            .take_while(|message| budget.admits(message.data.get().len()))
            .cloned()
            .collect();
        let more = taken.last().is_some_and(|last| last.seq < self.head);
        Some((taken, more))
    }

    fn backward(&self, end: Seq, oldest: Seq, size: PageSize) -> Option<(Vec<Arc<Message>>, bool)> {
        if end <= oldest || size.messages == 0 {
            return Some((Vec::new(), end > oldest));
        }
        let mut budget = PageBudget::new(size);
        let start = self.index(oldest.max(self.first()));
        let end = self.index(end);
        let mut page_full = false;
        let mut taken: Vec<_> = self
            .messages
            .range(start.min(end)..end)
            .rev()
            .take_while(|message| {
                page_full = !budget.admits(message.data.get().len());
                !page_full
            })
            .cloned()
            .collect();
        taken.reverse();
        // The page ended at the first message in memory, and not because it was full or nothing older is stored.
        if !page_full && self.first() > oldest && !budget.is_full() {
            return None;
        }
        let more = taken.first().is_some_and(|first| first.seq > oldest);
        Some((taken, more))
    }
}

/// The remaining size of a page while it is filled.
pub(super) struct PageBudget {
    messages: usize,
    bytes: usize,
    empty: bool,
}

impl PageBudget {
    /// An empty page of `size`.
    pub(super) fn new(size: PageSize) -> Self {
        Self {
            messages: size.messages,
            bytes: size.bytes,
            empty: true,
        }
    }

    /// Whether a message of so many bytes still fits; if so, it is subtracted. The first one always fits.
    pub(super) fn admits(&mut self, bytes: usize) -> bool {
        if self.messages == 0 || (bytes > self.bytes && !self.empty) {
            return false;
        }
        self.empty = false;
        self.messages -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }

    fn is_full(&self) -> bool {
        self.messages == 0
    }
}
