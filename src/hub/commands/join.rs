//! `join`: becoming a member of a room, with what was missed, without hole or repeat.
//!
//! The way: the connection's feed begins to hold what comes of the room, and the connection becomes a member; then the
//! log is read; the door sends the answer; [`Hub::go_live`] lets through what is newer than what was read. A message
//! stored before the read is in the answer, one stored after it is held or comes live, and its offset decides when both
//! see it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use serde::Serialize;

use crate::hub::{
    Caller, Connection, Hub, Members,
    connections::connection_closing,
    connections::{JoinError, MembershipGuard},
    reached,
};
use crate::{
    auth::Permission,
    backend::{Page, PageSize, Range},
    error::{Error, Limit, Result},
    model::{Epoch, Message, Offset, Position, RoomKey, RoomName, Seq},
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

/// A membership whose live events are held until [`Hub::go_live`], or until this is dropped.
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
    #[serde(skip)]
    held: HeldBack,
    /// Nothing else joins or leaves, and nothing is read again, before the answer is out.
    #[serde(skip)]
    _turn: MembershipGuard,
}

/// A join under way, which may fail, or be dropped at any await by an application that has given it up.
struct Entry {
    hub: Hub,
    connection: Arc<Connection>,
    room: RoomName,
    /// The connection was no member before.
    entered: bool,
    end: End,
}

/// What becomes of a join that is dropped.
enum End {
    /// It is undone.
    Undone,
    /// The connection stays a member, for events after this: it counts as one in its session already.
    Live(Offset),
    /// Somebody else sees to it.
    Complete,
}

impl Entry {
    /// The connection is a member, and has been read for up to `read`.
    fn complete(mut self, read: Offset) -> HeldBack {
        self.end = End::Complete;
        self.held_back(read)
    }

    fn held_back(&self, read: Offset) -> HeldBack {
        HeldBack {
            hub: self.hub.clone(),
            connection: self.connection.clone(),
            room: self.room.clone(),
            read,
            released: AtomicBool::new(false),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (hub, connection) = (&self.hub, &self.connection);
        match self.end {
            End::Complete => {}
            End::Live(read) => {
                hub.announce_presence(connection, &connection.key(&self.room));
                self.held_back(read).release();
            }
            End::Undone if self.entered => {
                connection.remove_room(&self.room);
                hub.0
                    .rooms
                    .remove_member(&connection.key(&self.room), connection);
            }
            // It was a member before and stays one, from where it stood.
            End::Undone => connection.subscriber().release_room(&self.room, Offset(0)),
        }
    }
}

/// The events of a room, and all behind them, that a member is not given before it has the answer to its join. They are let
/// through once, when this is dropped at the latest: nobody may ever give that answer.
#[derive(Debug)]
struct HeldBack {
    hub: Hub,
    connection: Arc<Connection>,
    room: RoomName,
    /// The offset that the answer's `seq` has.
    read: Offset,
    released: AtomicBool,
}

impl HeldBack {
    fn release(&self) {
        if self.released.swap(true, Ordering::Relaxed) {
            return;
        }
        let (hub, connection) = (&self.hub, &self.connection);
        hub.let_through(connection, &self.room, self.read);
        hub.0.rooms.with(&connection.key(&self.room), |room| {
            room.send_typists(connection.id(), Instant::now());
        });
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.release();
    }
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
        let turn = connection.lock_memberships().await;
        let room = request.room;
        let most = self.0.limits.rooms_per_connection;
        let entered = connection
            .begin_join(&room, most)
            .map_err(|refused| match refused {
                JoinError::RoomLimit => reached(
                    Limit::RoomsPerConnection,
                    format!("a connection may be in {most} rooms; leave one first"),
                ),
                JoinError::Closing => connection_closing(),
            })?;
        let key = connection.key(&room);
        let mut entry = Entry {
            hub: self.clone(),
            connection: connection.clone(),
            room: room.clone(),
            entered,
            end: End::Undone,
        };
        connection.subscriber().hold_room(&room);
        self.0.rooms.add_member(&key, connection);
        self.leave_if_gone(connection, &room);
        let past = self
            .past(connection, &key, &request.replay, &mut entry)
            .await?;
        self.charge_messages(&**connection, &past.page.messages, Instant::now());
        self.0.rooms.wait_for_roster(&key).await;
        self.announce_presence(connection, &key);
        Ok(Joined {
            members: self.members_for(connection, &room),
            room,
            epoch: past.page.epoch,
            seq: past.page.head,
            messages: past.page.messages,
            recovered: past.recovered,
            unread: past.unread,
            held: entry.complete(past.page.offset),
            _turn: turn,
        })
    }

    /// Reads what a member is to be told of before it is live, and notes that it is one.
    async fn past(
        &self,
        connection: &Connection,
        key: &RoomKey,
        replay: &Replay,
        entry: &mut Entry,
    ) -> Result<Past> {
        self.0.rooms.subscribed(key).await?;
        let (page, recovered) = self.replay(key, replay).await?;
        if !entry.entered {
            self.flush_before_reply(connection, key, &page).await?;
        }
        let user = connection.principal().user.clone();
        let mark = self.0.backend.read_markers.get(key, &user).await?;
        if !connection.complete_join(&key.room, page.offset) {
            return Err(connection_closing());
        }
        if entry.entered {
            entry.end = End::Live(page.offset);
            self.save_session(connection, None)
                .await
                .inspect_err(|_| entry.end = End::Undone)?;
        }
        Ok(Past {
            unread: page.head.0.saturating_sub(mark.seq.0),
            page,
            recovered,
        })
    }

    /// Gives a member that joins again what is on its way to it and not in the answer, so that the answer comes behind
    /// all that is before it.
    async fn flush_before_reply(
        &self,
        connection: &Connection,
        key: &RoomKey,
        page: &Page,
    ) -> Result<()> {
        // Whatever the page shows has come to the feed then.
        self.0.backend.bus.flush().await;
        let first = page.messages.first();
        let first = first.map_or(Offset(u64::MAX), |first| first.offset);
        let feed = connection.subscriber();
        if feed.flush_before_reply(&key.room, first, page.offset) || self.catch_up(connection).await
        {
            return Ok(());
        }
        Err(connection_closing())
    }

    /// Starts the live stream of a member that has been sent the answer to its join: what was held meanwhile comes
    /// first.
    pub fn go_live(&self, joined: &Joined) {
        joined.held.release();
    }

    /// Gives what a room has after `read` from now on.
    pub(in crate::hub) fn let_through(
        &self,
        connection: &Connection,
        room: &RoomName,
        read: Offset,
    ) {
        // In this order: what the feed has let through would not be looked at again.
        self.0.rooms.with(&connection.key(room), |room| {
            room.skip_until(connection.id(), read);
        });
        connection.subscriber().release_room(room, read);
    }

    fn check_join(&self, connection: &Connection, request: &Join) -> Result<()> {
        let past = request.replay != Replay::Nothing;
        self.check_entry(connection, &request.room, past)
    }

    /// Whether an identity may become a member of a room and, if it wants that, be given some of its past.
    pub(in crate::hub) fn check_entry(
        &self,
        who: &impl Caller,
        room: &RoomName,
        past: bool,
    ) -> Result<()> {
        self.check_name(room.bytes())?;
        if !who.may(Permission::Join, room) {
            return Err(Error::forbidden(format!(
                "this identity may not join {room}"
            )));
        }
        if past && !who.may(Permission::History, room) {
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
            Replay::Nothing => Ok((log.read(key, Range::Last, PageSize::NOTHING).await?, false)),
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
    follows(page, since) && !page.more
}

/// Whether a page of what comes after `since` begins with that.
pub(in crate::hub) fn follows(page: &Page, since: Seq) -> bool {
    since <= page.head && page.oldest <= since.next()
}
