//! `poll`: what a room has after a place in its log, at once or as soon as there is something.
//!
//! Whoever polls is no member: it watches the room while it waits and is told that something came, never what. What is
//! answered is read from the log, so that nothing is lost between two polls.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, Serializer};
use tokio::sync::Notify;

use super::{Caller, Hub, Visitor, join::follows};
use crate::{
    backend::{Page, Range},
    error::Result,
    model::{Epoch, Message, Position, RoomKey, RoomName, Seq},
};

/// What to wait for.
#[derive(Clone, Debug)]
pub struct Poll {
    /// The room.
    pub room: RoomName,
    /// The place up to which everything is known; without one, the answer is the present one.
    pub since: Option<Position>,
    /// At most so many messages.
    pub limit: Option<usize>,
}

/// What a room had after a place.
#[derive(Clone, Debug, Serialize)]
pub struct Polled {
    /// The room.
    pub room: RoomName,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its last number.
    pub seq: Seq,
    /// The place behind the messages, to ask from next.
    #[serde(serialize_with = "as_text")]
    pub cursor: Position,
    /// The messages, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// Something is missing before the messages.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}

/// Told of every message of a room for as long as it lives.
struct Watch<'a> {
    hub: &'a Hub,
    room: &'a RoomKey,
    told: Arc<Notify>,
}

impl<'a> Watch<'a> {
    fn new(hub: &'a Hub, room: &'a RoomKey) -> Self {
        let told = hub.0.rooms.watch(room);
        Self { hub, room, told }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.hub.0.rooms.unwatch(self.room);
    }
}

impl Hub {
    /// Answers as soon as a room has something after a place, or `give_up` is ready. Needs what joining and reading
    /// need.
    pub async fn poll(
        &self,
        visitor: &Visitor,
        poll: Poll,
        give_up: impl Future<Output = ()>,
    ) -> Result<Polled> {
        self.check_entry(visitor, &poll.room, true)?;
        let key = visitor.key(&poll.room);
        let watch = Watch::new(self, &key);
        self.0.rooms.followed(&key).await?;
        let mut give_up = std::pin::pin!(give_up);
        loop {
            // Before the log is read: what is stored after that is told.
            let mut told = std::pin::pin!(watch.told.notified());
            told.as_mut().enable();
            let polled = self.polled(&key, &poll).await?;
            if !polled.waits(&poll) {
                if polled.reset {
                    self.charge_visit(visitor, Instant::now());
                }
                return Ok(polled);
            }
            tokio::select! {
                () = told => {}
                () = &mut give_up => return Ok(polled),
            }
        }
    }

    /// Takes a request's permits for a poll, and where it goes on from no place, those of joining the room. A place that turns
    /// out to be none of the room's is charged afterwards, and keeps the user from polling until that is paid.
    pub fn take_poll_permits(&self, visitor: &Visitor, poll: &Poll, now: Instant) -> Result<()> {
        self.take_message_permit(visitor, now)?;
        let rooms = u32::from(poll.since.is_none());
        self.reserve_joins(visitor, rooms, now, Duration::ZERO)
            .map(|_| ())
    }

    /// What the room has now.
    async fn polled(&self, key: &RoomKey, poll: &Poll) -> Result<Polled> {
        let log = &self.0.backend.log;
        let Some(since) = &poll.since else {
            let page = log.read(key, Range::Last, self.page(Some(0))).await?;
            return Ok(Polled::new(key, page, None));
        };
        let size = self.page(poll.limit);
        let page = log.read(key, Range::After(since.seq), size).await?;
        if page.epoch == since.epoch && follows(&page, since.seq) {
            return Ok(Polled::new(key, page, Some(since.seq)));
        }
        // Something is missing whatever we answer: the newest messages are of the most use.
        let page = log.read(key, Range::Last, size).await?;
        Ok(Polled {
            reset: true,
            ..Polled::new(key, page, None)
        })
    }
}

impl Polled {
    /// Whether there is nothing yet of what `poll` asked for.
    pub fn waits(&self, poll: &Poll) -> bool {
        poll.since.is_some() && !self.reset && self.messages.is_empty()
    }

    /// A page as it follows a number, or of the newest messages.
    fn new(key: &RoomKey, page: Page, after: Option<Seq>) -> Self {
        let last = page.messages.last().map(|last| last.seq);
        Self {
            room: key.room.clone(),
            cursor: Position {
                epoch: page.epoch.clone(),
                seq: last.or(after).unwrap_or(page.head),
            },
            epoch: page.epoch,
            seq: page.head,
            messages: page.messages,
            reset: false,
        }
    }
}

fn as_text<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}
