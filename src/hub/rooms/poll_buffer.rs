//! What all who poll one room share: its newest messages as they were delivered, behind a place that one of them has read from the
//! log. Whoever is at that place or behind it needs no log, however many they are.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::{MutexGuard, Notify, futures::Notified};

use crate::{
    backend::{Page, PageSize},
    hub::lock,
    model::{Epoch, Message, Offset, Position, Seq, Timestamp},
};

/// Messages that are kept for those who come back for the next, and their bytes.
const MESSAGES: usize = 64;
const BYTES: usize = 256 << 10;

/// How long a message is kept, in milliseconds: long enough for whoever was answered to ask again. What is older is the log's to
/// keep or not.
const KEPT_FOR: u64 = 60_000;

/// How long they are kept when nobody polls.
const LINGERS: Duration = Duration::from_secs(2);

/// A room that is polled.
#[derive(Debug, Default)]
pub(in crate::hub) struct Watched {
    /// A message was delivered.
    told: Notify,
    /// Held by whoever reads the log to find out where the room is.
    reading: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where they begin, once that has been read.
    begins: Option<Beginning>,
    /// One after another, without holes.
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
}

#[derive(Debug)]
struct Beginning {
    life: Epoch,
    epoch: Epoch,
    /// Everything after this is here.
    after: Seq,
    /// What was read held everything up to this offset.
    read: Offset,
}

/// What a room has after a place.
#[derive(Debug)]
pub(in crate::hub) struct Newest {
    pub(in crate::hub) epoch: Epoch,
    pub(in crate::hub) head: Seq,
    pub(in crate::hub) messages: Vec<Arc<Message>>,
}

/// Those who poll one room.
#[derive(Debug, Default)]
pub(in crate::hub) struct Watchers {
    count: usize,
    watched: Arc<Watched>,
    /// When the last of them went.
    left: Option<Instant>,
}

impl Watchers {
    /// One more.
    pub(in crate::hub) fn add(&mut self) -> Arc<Watched> {
        self.count += 1;
        self.left = None;
        self.watched.clone()
    }

    /// One less.
    pub(in crate::hub) fn remove(&mut self, now: Instant) {
        self.count -= 1;
        if self.count == 0 {
            self.left = Some(now);
        }
    }

    /// Keeps a message that is delivered, and tells them.
    pub(in crate::hub) fn tell(&self, message: &Arc<Message>) {
        self.watched.push(message.clone());
        self.watched.told.notify_waiters();
    }

    /// When they are over unless somebody comes.
    pub(in crate::hub) fn ends(&self) -> Option<Instant> {
        self.left.map(|left| left + LINGERS)
    }
}

impl Watched {
    /// Ready with the next message that is delivered.
    pub(in crate::hub) fn told(&self) -> Notified<'_> {
        self.told.notified()
    }

    /// Waits until nobody else reads the log to find out where the room is.
    pub(in crate::hub) async fn reading(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().await
    }

    /// Whether it is known where the room is, in this life of the log.
    pub(in crate::hub) fn is_known(&self, life: &Epoch) -> bool {
        let state = lock(&self.state);
        let begins = state.begins.as_ref();
        begins.is_some_and(|begins| begins.life == *life)
    }

    /// What has been delivered after a place; `None` if only the log can tell.
    pub(in crate::hub) fn after(
        &self,
        since: &Position,
        size: PageSize,
        life: &Epoch,
        now: Timestamp,
    ) -> Option<Newest> {
        let mut state = lock(&self.state);
        let cutoff = Timestamp(now.0.saturating_sub(KEPT_FOR));
        while state
            .messages
            .front()
            .is_some_and(|first| first.ts < cutoff)
        {
            state.drop_first();
        }
        let begins = state.begins.as_ref()?;
        let (head, known) = (
            state.head()?,
            begins.life == *life && begins.epoch == since.epoch,
        );
        let since = since.seq;
        if !known || since < begins.after || since > head {
            return None;
        }
        let mut bytes = 0;
        let messages = state.messages.iter().filter(|message| message.seq > since);
        let messages = messages.take(size.messages).take_while(|message| {
            let is_first = bytes == 0;
            bytes += message.data.get().len();
            is_first || bytes <= size.bytes
        });
        Some(Newest {
            epoch: begins.epoch.clone(),
            head,
            messages: messages.cloned().collect(),
        })
    }

    /// Learns where the room is from a page that was read while it was watched.
    pub(in crate::hub) fn learn(&self, page: &Page, life: Epoch) {
        let mut state = lock(&self.state);
        while state
            .messages
            .front()
            .is_some_and(|first| first.offset <= page.offset)
        {
            state.drop_first();
        }
        let first = state.messages.front().map(|first| first.seq);
        if first.is_some_and(|first| first != page.head.next()) {
            return state.forget();
        }
        state.begins = Some(Beginning {
            life,
            epoch: page.epoch.clone(),
            after: page.head,
            read: page.offset,
        });
    }

    fn push(&self, message: Arc<Message>) {
        let mut state = lock(&self.state);
        let begins = state.begins.as_ref();
        if begins.is_some_and(|begins| message.offset <= begins.read) {
            return; // what was read was ahead of what is delivered
        }
        if state.head().is_some_and(|head| head.next() != message.seq) {
            state.forget();
        }
        state.bytes += message.data.get().len();
        state.messages.push_back(message);
        while state.messages.len() > MESSAGES || state.bytes > BYTES {
            state.drop_first();
        }
    }
}

impl State {
    /// The last number that is known of.
    fn head(&self) -> Option<Seq> {
        let last = self.messages.back().map(|last| last.seq);
        last.or(self.begins.as_ref().map(|begins| begins.after))
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.messages.pop_front() {
            self.bytes -= first.data.get().len();
            if let Some(begins) = &mut self.begins {
                begins.after = first.seq;
            }
        }
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
