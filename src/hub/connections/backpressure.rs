//! What happens to a connection that sends more than its rates allow: it is read more slowly.
//!
//! A request takes the next permits of its rates and is carried out when they may be used; the transport reads no further
//! meanwhile. A connection that is behind for too long without catching up once is a flood: what it sends over its
//! rates is refused until it has caught up. Of events of which only the newest counts, a newer one takes the place of one
//! that still waits for its permit.

use std::{
    future::Future,
    task::Poll,
    time::{Duration, Instant},
};

use indexmap::IndexMap;

use crate::hub::Publish;
use crate::model::{EventName, RoomName};

/// Since when a connection is behind with what it has sent.
#[derive(Debug)]
pub(in crate::hub) struct Backlog {
    since: Option<Instant>,
    most: Duration,
}

impl Backlog {
    /// Of a connection that may be behind for `most`.
    pub(in crate::hub) fn new(most: Duration) -> Self {
        Self { since: None, most }
    }

    /// How long the next request may wait for its permits: not at all once the connection floods.
    pub(in crate::hub) fn patience(&self, now: Instant) -> Duration {
        match self.since {
            Some(since) if now.duration_since(since) > self.most => Duration::ZERO,
            _ => self.most,
        }
    }

    /// A request has to wait.
    pub(in crate::hub) fn held_back(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Everything that the client has sent is handled.
    pub(in crate::hub) fn caught_up(&mut self) {
        self.since = None;
    }
}

/// Waits for what a client sends next, and notes in `idle` if it had not sent anything yet.
pub async fn track_idle<T>(idle: &mut bool, next: impl Future<Output = T>) -> T {
    let mut next = std::pin::pin!(next);
    std::future::poll_fn(|context| {
        let polled = next.as_mut().poll(context);
        *idle |= matches!(polled, Poll::Pending);
        polled
    })
    .await
}

/// Events of one connection that wait for their permits, of which only the newest of its kind in a room counts.
#[derive(Debug)]
pub(in crate::hub) struct Latest<A>(IndexMap<(RoomName, EventName), Waiting<A>>);

#[derive(Debug)]
struct Waiting<A> {
    asked: A,
    publish: Publish,
    due: Instant,
}

/// How many kinds in how many rooms are kept; an event of one more waits like any other.
const KINDS: usize = 64;

impl<A> Latest<A> {
    pub(in crate::hub) fn new() -> Self {
        Self(IndexMap::new())
    }

    /// Puts an event in the place of one that waits, and returns whose that was; gives the event back if none waits.
    pub(in crate::hub) fn replace(
        &mut self,
        asked: A,
        publish: Publish,
    ) -> Result<A, (A, Publish)> {
        let kind = (publish.room.clone(), publish.event.clone());
        let Some(waiting) = self.0.get_mut(&kind) else {
            return Err((asked, publish));
        };
        waiting.publish = publish;
        Ok(std::mem::replace(&mut waiting.asked, asked))
    }

    /// Whether one more kind may wait.
    pub(in crate::hub) fn has_room(&self) -> bool {
        self.0.len() < KINDS
    }

    /// Keeps an event that may go at `due`, which is no earlier than that of any other.
    pub(in crate::hub) fn keep(&mut self, asked: A, publish: Publish, due: Instant) {
        let kind = (publish.room.clone(), publish.event.clone());
        let waiting = Waiting {
            asked,
            publish,
            due,
        };
        self.0.insert(kind, waiting);
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ready when the first may go.
    pub(in crate::hub) async fn due(&self) {
        match self.0.first() {
            Some((_, first)) => tokio::time::sleep_until(first.due.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Takes the first.
    pub(in crate::hub) fn take(&mut self) -> Option<(A, Publish)> {
        let (_, first) = self.0.shift_remove_index(0)?;
        Some((first.asked, first.publish))
    }
}

#[cfg(test)]
mod tests;
