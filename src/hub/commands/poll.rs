//! Long polling: the messages after a position in a room's log, at once or as soon as there are any.
//!
//! A poller is not a member: it watches the room while it waits. What is delivered meanwhile is buffered for all pollers of the room
//! ([`PollBuffer`]), so that one of them reads the log and the others need not; what is not in the buffer is read.

use std::{future::Future, pin::Pin, sync::Arc, time::Instant};

use serde::{Serialize, Serializer};

use crate::hub::{
    Caller, Hub, StatelessCaller,
    commands::join::follows,
    rooms::poll_buffer::{NewMessages, PollBuffer},
};
use crate::{
    backend::{Page, PageSize, Range},
    error::Result,
    model::{Epoch, Message, Position, RoomKey, RoomName, Seq, Timestamp},
};

/// The messages to wait for.
#[derive(Clone, Debug)]
pub struct PollRequest {
    /// The room.
    pub room: RoomName,
    /// The position up to which the client has everything; without one, the reply is the present position.
    pub since: Option<Position>,
    /// At most so many messages.
    pub limit: Option<usize>,
    /// Reply at once, even with no messages.
    pub at_once: bool,
}

/// The messages of a room after a position.
#[derive(Clone, Debug, Serialize)]
pub struct PollReply {
    /// The room.
    pub room: RoomName,
    /// Its epoch.
    pub epoch: Epoch,
    /// The number of its last message.
    pub seq: Seq,
    /// The position after the messages, to poll from next.
    #[serde(serialize_with = "as_text")]
    pub cursor: Position,
    /// The messages, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// Messages before these are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}

/// Ready when a poll is to be replied to without messages.
pub type PollTimeout = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Buffers a room's messages until dropped.
struct Watch<'a> {
    hub: &'a Hub,
    room: &'a RoomKey,
    watched: Arc<PollBuffer>,
}

impl<'a> Watch<'a> {
    fn new(hub: &'a Hub, room: &'a RoomKey) -> Self {
        let watched = hub.rooms().add_poller(room);
        Self { hub, room, watched }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.hub.rooms().remove_poller(self.room);
    }
}

impl Hub {
    /// Returns as soon as a room has messages after a position, or the future that `wait` returns is ready. `wait` is called once,
    /// if the poll has to wait, and may refuse that. The caller needs the grants to join the room and to read its history.
    ///
    /// # Errors
    /// `forbidden` without these grants, the error of `wait`, `unavailable` if the log cannot be read.
    pub(crate) async fn poll(
        &self,
        caller: &StatelessCaller,
        poll: PollRequest,
        wait: impl FnOnce() -> Result<PollTimeout>,
    ) -> Result<PollReply> {
        self.check_join(caller, &poll.room, true)?;
        self.permit_join(caller, &poll.room).await?;
        let key = caller.room_key(&poll.room);
        let watch = Watch::new(self, &key);
        self.rooms().subscribed(&key).await?;
        let (mut wait, mut give_up) = (Some(wait), None::<PollTimeout>);
        loop {
            // Before looking for messages: those delivered after that wake this task.
            let mut told = std::pin::pin!(watch.watched.delivered());
            told.as_mut().enable();
            // While it has waited, the policies may have been replaced.
            self.check_join_policy(caller, &poll.room)?;
            let polled = self.poll_now(&watch, &poll).await?;
            if !polled.must_wait(&poll) {
                if polled.reset {
                    self.rates().charge_non_member(caller, Instant::now());
                }
                let rates = self.rates();
                rates.charge_messages(caller, &polled.messages, Instant::now());
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

    /// What the room has now. What has been delivered lately is in the buffer; older messages are read from the log, and so are
    /// those that are stored and not yet delivered, for a poll that does not wait.
    async fn poll_now(&self, watch: &Watch<'_>, poll: &PollRequest) -> Result<PollReply> {
        let (log, watched) = (&self.backend().log, &watch.watched);
        let size = self.limiter().page_size(poll.limit);
        let Some(since) = &poll.since else {
            let page = log.read(watch.room, Range::Last, PageSize::NOTHING).await?;
            return Ok(PollReply::new(watch.room, page, None));
        };
        let buffered = || {
            let newest =
                watched.messages_after(since, size, &log.incarnation(), Timestamp::now())?;
            let polled = PollReply::buffered(watch.room, newest, since);
            (!poll.at_once || !polled.messages.is_empty()).then_some(polled)
        };
        if let Some(polled) = buffered() {
            return Ok(polled);
        }
        // Of many that poll at once, one reads the room's position. What is older is read by each.
        let _reading = match watched.is_positioned(&log.incarnation()) {
            false => Some(watched.lock_positioning().await),
            true => None,
        };
        if let Some(polled) = buffered() {
            return Ok(polled);
        }
        let incarnation = log.incarnation();
        let page = log.read(watch.room, Range::After(since.seq), size).await?;
        if incarnation == log.incarnation() {
            watched.position_after(&page, incarnation);
        }
        if page.epoch == since.epoch && follows(&page, since.seq) {
            return Ok(PollReply::new(watch.room, page, Some(since.seq)));
        }
        // Something is missing in any case: the newest messages are of the most use.
        let page = log.read(watch.room, Range::Last, size).await?;
        Ok(PollReply {
            reset: true,
            ..PollReply::new(watch.room, page, None)
        })
    }
}

impl PollReply {
    /// Whether `poll` has to wait for messages.
    pub fn must_wait(&self, poll: &PollRequest) -> bool {
        poll.since.is_some() && !self.reset && self.messages.is_empty()
    }

    /// Buffered messages after a position.
    fn buffered(key: &RoomKey, newest: NewMessages, since: &Position) -> Self {
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

    /// A page of messages after a number, or of the newest ones.
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

#[cfg(test)]
mod tests;
