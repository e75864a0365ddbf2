//! Backpressure on a connection that sends faster than its rates allow: it is read more slowly.
//!
//! A request acquires the next permits of its rates and runs when they may be used; the transport reads no further meanwhile. A
//! connection that is behind for too long without catching up once floods: requests over its rates are refused until it has caught
//! up. Of events of which only the newest counts, a newer one replaces one that still waits for its permit.

use std::{
    future::Future,
    task::Poll,
    time::{Duration, Instant},
};

use indexmap::IndexMap;

use crate::{
    hub::Publish,
    model::{EventName, RoomName},
};

/// Since when requests of a connection wait for their permits.
#[derive(Debug)]
pub(in crate::hub) struct RateBacklog {
    since: Option<Instant>,
    max_age: Duration,
}

impl RateBacklog {
    /// The backlog of a connection that may be behind for `max_age`.
    pub(in crate::hub) fn new(max_age: Duration) -> Self {
        Self {
            since: None,
            max_age,
        }
    }

    /// How long the next request may wait for its permits: not at all once the connection floods.
    pub(in crate::hub) fn max_wait(&self, now: Instant) -> Duration {
        match self.since {
            Some(since) if now.duration_since(since) > self.max_age => Duration::ZERO,
            _ => self.max_age,
        }
    }

    /// A request has to wait.
    pub(in crate::hub) fn start(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// All requests of the client have been handled.
    pub(in crate::hub) fn reset(&mut self) {
        self.since = None;
    }
}

/// Waits for the next request of a client; sets `idle` if it had not been received yet.
pub async fn track_idle<T>(idle: &mut bool, next: impl Future<Output = T>) -> T {
    let mut next = std::pin::pin!(next);
    std::future::poll_fn(|context| {
        let polled = next.as_mut().poll(context);
        *idle |= matches!(polled, Poll::Pending);
        polled
    })
    .await
}

/// Conflates events of one connection that wait for their permits: of each event name in a room only the newest is kept. `T` is the
/// reply target of a request.
#[derive(Debug)]
pub(in crate::hub) struct ConflatingQueue<T>(
    /// `None` if it is empty: hardly any connection ever has such events.
    Option<Box<QueuedEvents<T>>>,
);

type QueuedEvents<T> = IndexMap<(RoomName, EventName), QueuedEvent<T>>;

#[derive(Debug)]
struct QueuedEvent<T> {
    target: T,
    publish: Publish,
    due: Instant,
}

/// How many pairs of a room and an event name are queued; an event of one more waits like any other request.
const MAX_QUEUED: usize = 64;

impl<T> ConflatingQueue<T> {
    pub(in crate::hub) fn new() -> Self {
        Self(None)
    }

    /// Replaces the queued event of the same name and room, and returns the target of that one; gives the event back if there is
    /// none.
    pub(in crate::hub) fn replace(
        &mut self,
        target: T,
        publish: Publish,
    ) -> Result<T, (T, Publish)> {
        let key = (publish.room.clone(), publish.event.clone());
        let queued = self.0.as_mut().and_then(|events| events.get_mut(&key));
        let Some(queued) = queued else {
            return Err((target, publish));
        };
        queued.publish = publish;
        Ok(std::mem::replace(&mut queued.target, target))
    }

    /// Whether one more pair of a room and a name may be queued.
    pub(in crate::hub) fn has_room(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|events| events.len() < MAX_QUEUED)
    }

    /// Queues an event that may go at `due`, which is no earlier than that of any other.
    pub(in crate::hub) fn push(&mut self, target: T, publish: Publish, due: Instant) {
        let key = (publish.room.clone(), publish.event.clone());
        let queued = QueuedEvent {
            target,
            publish,
            due,
        };
        self.0.get_or_insert_default().insert(key, queued);
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Ready when the first event may go.
    pub(in crate::hub) async fn due(&self) {
        match self.0.as_ref().and_then(|events| events.first()) {
            Some((_, first)) => tokio::time::sleep_until(first.due.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Takes the first event.
    pub(in crate::hub) fn pop(&mut self) -> Option<(T, Publish)> {
        let (_, first) = self.0.as_mut()?.shift_remove_index(0)?;
        self.0.take_if(|events| events.is_empty());
        Some((first.target, first.publish))
    }
}

#[cfg(test)]
mod tests;
