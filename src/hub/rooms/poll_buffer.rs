//! What all clients that poll one room share: its newest messages as they were delivered, after a position that one of them has
//! read from the log. A client at that position or after it needs no log, however many clients there are.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::{MutexGuard, Notify, futures::Notified};

use crate::{
    backend::{Page, PageSize},
    model::{Epoch, Incarnation, Message, Offset, Position, Seq, Timestamp},
    sync::lock,
};

/// Messages that are kept for clients that come back for the next ones.
const MAX_MESSAGES: usize = 64;
/// The bytes of their data.
const MAX_BYTES: usize = 256 << 10;

/// How long a message is kept, in milliseconds: long enough for a client to poll again. Whether older messages are kept is the
/// log's policy.
const MESSAGE_TTL: u64 = 60_000;

/// How long the buffer is kept without a poll.
const IDLE_TTL: Duration = Duration::from_secs(2);

/// The newest messages of a room that is polled.
#[derive(Debug, Default)]
pub(in crate::hub) struct PollBuffer {
    /// Notified of each message that is delivered.
    delivered: Notify,
    /// Held while the log is read to position the buffer.
    positioning: tokio::sync::Mutex<()>,
    messages: Mutex<BufferedMessages>,
}

#[derive(Debug, Default)]
struct BufferedMessages {
    /// Where they start, once that has been read.
    start: Option<BufferStart>,
    /// One after another, without gaps.
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
}

#[derive(Debug)]
struct BufferStart {
    incarnation: Incarnation,
    epoch: Epoch,
    /// Everything after this is buffered.
    after: Seq,
    /// The log was read up to this offset.
    read: Offset,
}

/// What a room has after a position.
#[derive(Debug)]
pub(in crate::hub) struct NewMessages {
    pub(in crate::hub) epoch: Epoch,
    pub(in crate::hub) head: Seq,
    pub(in crate::hub) messages: Vec<Arc<Message>>,
}

/// The clients that poll one room.
#[derive(Debug, Default)]
pub(in crate::hub) struct Pollers {
    count: usize,
    buffer: Arc<PollBuffer>,
    /// When the last poll ended.
    idle_since: Option<Instant>,
}

impl Pollers {
    /// Adds a poll.
    pub(in crate::hub) fn add(&mut self) -> Arc<PollBuffer> {
        self.count += 1;
        self.idle_since = None;
        self.buffer.clone()
    }

    /// Removes a poll.
    pub(in crate::hub) fn remove(&mut self, now: Instant) {
        self.count -= 1;
        if self.count == 0 {
            self.idle_since = Some(now);
        }
    }

    /// Buffers a message that is delivered, and wakes the polls.
    pub(in crate::hub) fn push(&self, message: &Arc<Message>) {
        self.buffer.push(message.clone());
        self.buffer.delivered.notify_waiters();
    }

    /// When the buffer is dropped unless there is another poll.
    pub(in crate::hub) fn expires(&self) -> Option<Instant> {
        self.idle_since.map(|since| since + IDLE_TTL)
    }
}

impl PollBuffer {
    /// Completes with the next message that is delivered.
    pub(in crate::hub) fn delivered(&self) -> Notified<'_> {
        self.delivered.notified()
    }

    /// Waits until no other poll reads the log to position the buffer.
    pub(in crate::hub) async fn lock_positioning(&self) -> MutexGuard<'_, ()> {
        self.positioning.lock().await
    }

    /// Whether it is known where the messages start, in this incarnation of the log.
    pub(in crate::hub) fn is_positioned(&self, incarnation: &Incarnation) -> bool {
        let buffered = lock(&self.messages);
        let start = buffered.start.as_ref();
        start.is_some_and(|start| start.incarnation == *incarnation)
    }

    /// The messages after a position; `None` if they have to be read from the log.
    pub(in crate::hub) fn messages_after(
        &self,
        since: &Position,
        size: PageSize,
        incarnation: &Incarnation,
        now: Timestamp,
    ) -> Option<NewMessages> {
        let mut buffered = lock(&self.messages);
        buffered.drop_expired(now);
        let start = buffered.start.as_ref()?;
        let head = buffered.head()?;
        let is_same_log = start.incarnation == *incarnation && start.epoch == since.epoch;
        let since = since.seq;
        if !is_same_log || since < start.after || since > head {
            return None;
        }
        let mut bytes = 0;
        let messages = buffered.messages.iter();
        let messages = messages.filter(|message| message.seq > since);
        let messages = messages.take(size.messages).take_while(|message| {
            let is_first = bytes == 0;
            bytes += message.data.get().len();
            is_first || bytes <= size.bytes
        });
        Some(NewMessages {
            epoch: start.epoch.clone(),
            head,
            messages: messages.cloned().collect(),
        })
    }

    /// Positions the buffer after a page that was read while the room was polled.
    pub(in crate::hub) fn position_after(&self, page: &Page, incarnation: Incarnation) {
        let mut buffered = lock(&self.messages);
        while buffered
            .messages
            .front()
            .is_some_and(|first| first.offset <= page.offset)
        {
            buffered.drop_first();
        }
        let first = buffered.messages.front().map(|first| first.seq);
        if first.is_some_and(|first| first != page.head.next()) {
            return buffered.clear();
        }
        buffered.start = Some(BufferStart {
            incarnation,
            epoch: page.epoch.clone(),
            after: page.head,
            read: page.offset,
        });
    }

    fn push(&self, message: Arc<Message>) {
        let mut buffered = lock(&self.messages);
        let start = buffered.start.as_ref();
        if start.is_some_and(|start| message.offset <= start.read) {
            return; // the read was ahead of the deliveries
        }
        if buffered
            .head()
            .is_some_and(|head| head.next() != message.seq)
        {
            buffered.clear();
        }
        buffered.bytes += message.data.get().len();
        buffered.messages.push_back(message);
        while buffered.messages.len() > MAX_MESSAGES || buffered.bytes > MAX_BYTES {
            buffered.drop_first();
        }
    }
}

impl BufferedMessages {
    /// The last known sequence number.
    fn head(&self) -> Option<Seq> {
        let last = self.messages.back().map(|last| last.seq);
        last.or(self.start.as_ref().map(|start| start.after))
    }

    fn drop_expired(&mut self, now: Timestamp) {
        let cutoff = Timestamp(now.0.saturating_sub(MESSAGE_TTL));
        while self.messages.front().is_some_and(|first| first.ts < cutoff) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.messages.pop_front() {
            self.bytes -= first.data.get().len();
            if let Some(start) = &mut self.start {
                start.after = first.seq;
            }
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
