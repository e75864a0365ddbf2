//! `poll`: what a room has after a place in its log, at once or as soon as there is something.
//!
//! Whoever polls is no member: it watches the room while it waits. What is delivered meanwhile is kept for all who poll the room
//! ([`watched`](crate::hub::watched)), so that one of them reads the log and the others need not; what is not kept is read.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, Serializer};

use crate::hub::{
    Caller, Hub, Visitor,
    join::follows,
    rooms::poll_buffer::{NewMessages, PollBuffer},
};
use crate::{
    backend::{Page, PageSize, Range},
    error::Result,
    model::{Epoch, Message, Position, RoomKey, RoomName, Seq, Timestamp},
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
    /// To be answered at once, whatever there is.
    pub at_once: bool,
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

/// Ready when a poll is to be answered with nothing.
pub type GiveUp = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Has a room's messages kept for as long as it lives.
struct Watch<'a> {
    hub: &'a Hub,
    room: &'a RoomKey,
    watched: Arc<PollBuffer>,
}

impl<'a> Watch<'a> {
    fn new(hub: &'a Hub, room: &'a RoomKey) -> Self {
        let watched = hub.0.rooms.add_poller(room);
        Self { hub, room, watched }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.hub.0.rooms.remove_poller(self.room);
    }
}

impl Hub {
    /// Answers as soon as a room has something after a place, or what `wait` returns is ready; that is asked for once, if the poll
    /// has to wait, and may refuse. Needs what joining and reading need.
    pub async fn poll(
        &self,
        visitor: &Visitor,
        poll: Poll,
        wait: impl FnOnce() -> Result<GiveUp>,
    ) -> Result<Polled> {
        self.check_entry(visitor, &poll.room, true)?;
        let key = visitor.key(&poll.room);
        let watch = Watch::new(self, &key);
        self.0.rooms.subscribed(&key).await?;
        let (mut wait, mut give_up) = (Some(wait), None::<GiveUp>);
        loop {
            // Before it is looked for: what is delivered after that is told.
            let mut told = std::pin::pin!(watch.watched.delivered());
            told.as_mut().enable();
            let polled = self.polled(&watch, &poll).await?;
            if !polled.waits(&poll) {
                if polled.reset {
                    self.charge_visit(visitor, Instant::now());
                }
                self.charge_messages(visitor, &polled.messages, Instant::now());
                return Ok(polled);
            }
            if let Some(wait) = wait.take().filter(|_| !poll.at_once) {
                give_up = Some(wait()?);
            }
            let Some(give_up) = &mut give_up else {
                return Ok(polled);
            };
            tokio::select! {
                () = told => {}
                () = give_up => return Ok(polled),
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

    /// What the room has now. What has been delivered lately is kept for all who wait for more; the log tells the rest, and
    /// whoever does not wait for what is stored and not delivered yet.
    async fn polled(&self, watch: &Watch<'_>, poll: &Poll) -> Result<Polled> {
        let (log, watched) = (&self.0.backend.log, &watch.watched);
        let size = self.page(poll.limit);
        let Some(since) = &poll.since else {
            let page = log.read(watch.room, Range::Last, PageSize::NOTHING).await?;
            return Ok(Polled::new(watch.room, page, None));
        };
        let kept = || {
            let newest =
                watched.messages_after(since, size, &log.incarnation(), Timestamp::now())?;
            let polled = Polled::kept(watch.room, newest, since);
            (!poll.at_once || !polled.messages.is_empty()).then_some(polled)
        };
        if let Some(polled) = kept() {
            return Ok(polled);
        }
        // Of many who ask at once where the room is one reads that. What is older is read by each.
        let _reading = match watched.is_positioned(&log.incarnation()) {
            false => Some(watched.lock_positioning().await),
            true => None,
        };
        if let Some(polled) = kept() {
            return Ok(polled);
        }
        let life = log.incarnation();
        let page = log.read(watch.room, Range::After(since.seq), size).await?;
        if life == log.incarnation() {
            watched.position_after(&page, life);
        }
        if page.epoch == since.epoch && follows(&page, since.seq) {
            return Ok(Polled::new(watch.room, page, Some(since.seq)));
        }
        // Something is missing whatever we answer: the newest messages are of the most use.
        let page = log.read(watch.room, Range::Last, size).await?;
        Ok(Polled {
            reset: true,
            ..Polled::new(watch.room, page, None)
        })
    }
}

impl Polled {
    /// Whether there is nothing yet of what `poll` asked for.
    pub fn waits(&self, poll: &Poll) -> bool {
        poll.since.is_some() && !self.reset && self.messages.is_empty()
    }

    /// What was kept, as it follows a place.
    fn kept(key: &RoomKey, newest: NewMessages, since: &Position) -> Self {
        let last = newest.messages.last().map(|last| last.seq);
        Self {
            room: key.room.clone(),
            cursor: Position {
                epoch: newest.epoch.clone(),
                seq: last.unwrap_or(since.seq),
            },
            epoch: newest.epoch,
            seq: newest.head,
            messages: newest.messages,
            reset: false,
        }
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
