//! `join`: becoming a member of a room, with what was missed, without hole or repeat.
//!
//! The way: the connection becomes a member whose live events are held; then the log is read; the door sends the
//! answer; [`Hub::go_live`] releases what was held and is newer than what was read. A message stored before the read
//! is in the answer, one stored after it is held or comes live, and its number decides when both see it.

use std::{sync::Arc, time::Instant};

use serde::Serialize;

use super::{
    Connection, Hub, Members, Outgoing,
    connection::{Close, Refused},
    event::Event,
    reached,
    room::Caught,
    too_fast,
};
use crate::{
    auth::Permission,
    backend::{Page, PageSize, Range},
    error::{Error, Limit, Result},
    model::{Epoch, Message, Position, RoomKey, RoomName, Seq},
};

/// A wish to become a member.
#[derive(Clone, Debug)]
pub struct Join {
    /// The room.
    pub room: RoomName,
    /// What to be given of the past.
    pub replay: Replay,
}

/// What a joining member is given of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Nothing: only the room's position.
    Nothing,
    /// The last messages, at most so many.
    Last(usize),
    /// The messages after a position; if not all of those can be given, the last ones, at most so many.
    Since(Position, Option<usize>),
}

/// A membership whose live events are held until [`Hub::go_live`].
#[derive(Debug, Serialize)]
pub struct Joined {
    /// The room.
    pub room: RoomName,
    /// Its epoch.
    pub epoch: Epoch,
    /// The last number that is part of this answer or before it; live events begin after it.
    pub seq: Seq,
    /// What was asked for of the past, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// Everything after the position that was asked for is in `messages`.
    pub recovered: bool,
    /// Messages after what this user has read.
    pub unread: u64,
    /// Who is in the room; `None` if this identity may not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,
}

/// What was before a member is live.
struct Past {
    page: Page,
    recovered: bool,
    unread: u64,
}

impl Hub {
    /// Makes `connection` a member of a room. Send the answer to the client, then call [`Hub::go_live`].
    pub async fn join(&self, connection: &Arc<Connection>, request: Join) -> Result<Joined> {
        self.check_join(connection, &request)?;
        if connection.is_in(&request.room) {
            // What it sent itself before is behind it then, so that a message it did not want back stays away.
            self.0.backend.bus.delivered().await;
        }
        let most = self.0.limits.rooms_per_connection;
        let entered = connection
            .enter(&request.room, most)
            .map_err(|refused| match refused {
                Refused::Full => reached(
                    Limit::RoomsPerConnection,
                    format!("a connection may be in {most} rooms; leave one first"),
                ),
                Refused::Gone => Error::unavailable("the connection is closing"),
            })?;
        let key = connection.key(&request.room);
        let before = self.0.rooms.enter(&key, connection);
        self.leave_if_gone(connection, &request.room);
        match self.past(connection, &key, &request.replay, before).await {
            Ok(past) => {
                self.appear(connection, &key);
                Ok(Joined {
                    members: self.members_for(connection, &request.room),
                    room: request.room,
                    epoch: past.page.epoch,
                    seq: past.page.head,
                    messages: past.page.messages,
                    recovered: past.recovered,
                    unread: past.unread,
                })
            }
            Err(error) => {
                if let Some(before) = before {
                    // It was a member before and stays one, from where it stood.
                    self.go_live(connection, &request.room, before).await;
                } else if entered {
                    connection.leave(&request.room);
                    self.0.rooms.leave(&key, connection.id());
                }
                Err(error)
            }
        }
    }

    /// Reads what a member is to be told of before it is live; `before` is where it stood if it was one already.
    async fn past(
        &self,
        connection: &Connection,
        key: &RoomKey,
        replay: &Replay,
        before: Option<Seq>,
    ) -> Result<Past> {
        let (page, recovered) = self.replay(key, replay).await?;
        if let Some(before) = before {
            self.give_on_the_way(connection, key, before, &page).await?;
        }
        let user = connection.principal().user.clone();
        let mark = self.0.backend.marks.marked(key, &user).await?;
        Ok(Past {
            unread: page.head.0.saturating_sub(mark.seq.0),
            page,
            recovered,
        })
    }

    /// Gives a member that joins again what was on its way to it: messages after `before`, up to where the answer
    /// begins. They would be dropped as older than the answer, though they are not in it.
    async fn give_on_the_way(
        &self,
        connection: &Connection,
        key: &RoomKey,
        before: Seq,
        page: &Page,
    ) -> Result<()> {
        // The personal room is entered without a look at its log: as long as nothing came, nobody knows from where on.
        let known = before > Seq(0) || !key.room.is_personal();
        let until = page
            .messages
            .first()
            .map_or(page.head, |first| Seq(first.seq.0.saturating_sub(1)));
        if known && before < until {
            self.catch_up(connection, key, before, until).await?;
        }
        Ok(())
    }

    /// Starts the live stream of a member that was told everything up to `after`: what was held meanwhile comes
    /// first. If more was held than fits, the rest is read from the log.
    pub async fn go_live(&self, connection: &Connection, room: &RoomName, after: Seq) {
        let key = connection.key(room);
        let mut after = after;
        while let Caught::Behind(from) = self.0.rooms.go_live(&key, connection.id(), after) {
            match self.catch_up(connection, &key, from, Seq(u64::MAX)).await {
                Ok(reached) => after = reached,
                Err(error) => {
                    tracing::warn!(%room, %error, "a member could not catch up and is closed");
                    connection.close(Close::Unavailable);
                    return;
                }
            }
        }
        self.0.rooms.with(&key, |room| {
            room.tell_typists(connection.id(), Instant::now());
        });
    }

    /// Pushes everything after `from`, and not after `until`, as live events; answers the number that was reached.
    async fn catch_up(
        &self,
        connection: &Connection,
        key: &RoomKey,
        from: Seq,
        until: Seq,
    ) -> Result<Seq> {
        let mut reached = from;
        loop {
            let page = self
                .0
                .backend
                .log
                .read(key, Range::After(reached), self.page(None))
                .await?;
            if page.oldest > reached.next() && reached < page.head {
                return Err(Error::unavailable(
                    "what a member missed is not kept any more",
                ));
            }
            for message in page.messages {
                if message.seq > until {
                    return Ok(reached);
                }
                reached = message.seq;
                connection.push(&Outgoing::new(Event::Message(message)));
            }
            if !page.more {
                return Ok(reached.max(page.head));
            }
        }
    }

    fn check_join(&self, connection: &Connection, request: &Join) -> Result<()> {
        connection
            .rates()
            .joins
            .take(self.0.joins, Instant::now())
            .map_err(|wait| too_fast(Limit::JoinsPerSecond, wait))?;
        let principal = connection.principal();
        let room = &request.room;
        self.check_name(room.as_str())?;
        if !principal.may(Permission::Join, room) {
            return Err(Error::forbidden(format!(
                "this identity may not join {room}"
            )));
        }
        if request.replay != Replay::Nothing && !principal.may(Permission::History, room) {
            return Err(Error::forbidden(format!(
                "this identity may not read the history of {room}"
            )));
        }
        Ok(())
    }

    /// Reads what was asked for, and whether that is all there was.
    async fn replay(&self, key: &RoomKey, replay: &Replay) -> Result<(Page, bool)> {
        let log = &self.0.backend.log;
        match replay {
            Replay::Nothing => {
                let nothing = PageSize {
                    messages: 0,
                    bytes: 0,
                };
                Ok((log.read(key, Range::Last, nothing).await?, false))
            }
            Replay::Last(count) => Ok((
                log.read(key, Range::Last, self.page(Some(*count))).await?,
                false,
            )),
            Replay::Since(position, otherwise) => {
                let page = log
                    .read(key, Range::After(position.seq), self.page(None))
                    .await?;
                if page.epoch == position.epoch && complete(&page, position.seq) {
                    return Ok((page, true));
                }
                // Something is missing whatever we send: the newest messages are of the most use.
                let size = self.page(*otherwise);
                Ok((log.read(key, Range::Last, size).await?, false))
            }
        }
    }
}

/// Whether the page holds every message after `since` up to the head.
fn complete(page: &Page, since: Seq) -> bool {
    since <= page.head && page.oldest <= since.next() && !page.more
}
