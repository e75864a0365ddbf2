//! `join`: becoming a member of a room, with what was missed, without hole or repeat.
//!
//! The connection's subscriber starts to hold the room's events, and the connection becomes a member; then the log is read;
//! the transport sends the reply; [`Hub::go_live`] releases what is newer than what was read. A message stored before the read
//! is in the reply, one stored after it is held or comes live, and its offset decides when both see it.

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
    limiter::limit_reached,
};
use crate::{
    auth::Permission,
    backend::{Page, PageSize, Range},
    error::{Error, Limit, Result},
    model::{Epoch, Message, Offset, Position, RoomKey, RoomName, Seq},
};

/// A request to become a member of a room.
#[derive(Clone, Debug)]
pub struct Join {
    /// The room.
    pub room: RoomName,
    /// Which earlier messages to send.
    pub replay: Replay,
}

/// Earlier messages for a joining member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// None: only the room's position.
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
    /// The number of the last message that is in this reply or before it; live messages come after it.
    pub seq: Seq,
    /// The earlier messages, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// Everything after the position that was asked for is in `messages`.
    pub recovered: bool,
    /// Messages after what this user has read.
    pub unread: u64,
    /// Who is in the room; `None` if this identity may not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,
    #[serde(skip)]
    held: HeldEvents,
    /// Held until the reply is sent: the connection neither joins, leaves nor catches up before that.
    #[serde(skip)]
    _turn: MembershipGuard,
}

/// A join in progress. It may fail, or be dropped at any await by an application that cancels it.
struct PendingJoin {
    hub: Hub,
    connection: Arc<Connection>,
    room: RoomName,
    /// The connection was not a member before.
    entered: bool,
    by: JoinedBy,
    on_drop: OnDrop,
}

/// Who has decided that a connection becomes a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) enum JoinedBy {
    /// Its client, whose identity may.
    Client,
    /// The application, whatever the identity may do.
    Application,
}

/// What happens when a join is dropped.
enum OnDrop {
    /// The connection leaves the room again.
    Undo,
    /// The connection stays a member, for messages after this offset: its session has been stored with the room.
    Live(Offset),
    /// Nothing: the join is complete.
    Complete,
}

impl PendingJoin {
    /// The connection is a member; the log has been read for it up to `read`.
    fn complete(mut self, read: Offset) -> HeldEvents {
        self.on_drop = OnDrop::Complete;
        self.held_back(read)
    }

    fn held_back(&self, read: Offset) -> HeldEvents {
        self.connection.announce_joined(&self.room);
        HeldEvents {
            hub: self.hub.clone(),
            connection: self.connection.clone(),
            room: self.room.clone(),
            read,
            released: AtomicBool::new(false),
        }
    }
}

impl Drop for PendingJoin {
    fn drop(&mut self) {
        let (hub, connection) = (&self.hub, &self.connection);
        match self.on_drop {
            OnDrop::Complete => {}
            OnDrop::Live(read) => {
                hub.announce_presence(connection, &connection.room_key(&self.room));
                self.held_back(read).release();
            }
            OnDrop::Undo if self.entered => {
                connection.remove_room(&self.room);
                connection.sink().room_left(&self.room);
                hub.rooms()
                    .remove_member(&connection.room_key(&self.room), connection);
            }
            // It was a member before and stays one, at its old offset.
            OnDrop::Undo => connection.subscriber().release_room(&self.room, Offset(0)),
        }
    }
}

/// Events of a room, and everything after them, that are held until the client has the reply to its join. They are released
/// once, at the latest when this is dropped: the reply may never be sent.
#[derive(Debug)]
struct HeldEvents {
    hub: Hub,
    connection: Arc<Connection>,
    room: RoomName,
    /// The offset of the reply's `seq`.
    read: Offset,
    released: AtomicBool,
}

impl HeldEvents {
    fn release(&self) {
        if self.released.swap(true, Ordering::Relaxed) {
            return;
        }
        let (hub, connection) = (&self.hub, &self.connection);
        hub.start_delivery(connection, &self.room, self.read);
    }
}

impl Drop for HeldEvents {
    fn drop(&mut self) {
        self.release();
    }
}

/// The room's log as the reply shows it.
struct JoinHistory {
    page: Page,
    recovered: bool,
    unread: u64,
}

impl Hub {
    /// Makes `connection` a member of a room. Send the reply to the client, then call [`Hub::go_live`].
    ///
    /// # Errors
    /// Fails with `forbidden` if it may not join the room, or may not read its history and asks for a replay. Fails with `bad_request`
    /// if the room's name is longer than configured, `limit_reached` if it is in too many rooms, and `unavailable` if the connection is
    /// closing, the log or its session cannot be read or stored, or a hook does not answer. A hook may refuse it with any error.
    pub async fn join(&self, connection: &Arc<Connection>, request: Join) -> Result<Joined> {
        let reads_history = request.replay != Replay::Nothing;
        self.check_join(connection, &request.room, reads_history)?;
        self.permit_join(connection, &request.room).await?;
        self.join_as(connection, request, JoinedBy::Client).await
    }

    /// Joins without a look at what the connection may do.
    pub(in crate::hub) async fn join_as(
        &self,
        connection: &Arc<Connection>,
        request: Join,
        by: JoinedBy,
    ) -> Result<Joined> {
        let turn = connection.lock_memberships().await;
        let room = request.room;
        let max = self.limits().rooms_per_connection;
        let entered = connection
            .begin_join(&room, max)
            .map_err(|refused| match refused {
                JoinError::RoomLimit => limit_reached(
                    Limit::RoomsPerConnection,
                    format!("a connection may be in {max} rooms; leave one first"),
                ),
                JoinError::Closing => connection_closing(),
            })?;
        let key = connection.room_key(&room);
        let mut pending = PendingJoin {
            hub: self.clone(),
            connection: connection.clone(),
            room: room.clone(),
            entered,
            by,
            on_drop: OnDrop::Undo,
        };
        match by {
            JoinedBy::Application => connection.grant_room(&room),
            // Whoever replaces the policies from now on finds the connection in the room.
            JoinedBy::Client if entered => self.check_joining(connection, &room)?,
            JoinedBy::Client => {}
        }
        connection.subscriber().hold_room(&room);
        self.rooms().add_member(&key, connection);
        self.leave_if_disconnected(connection, &room);
        let history = self
            .read_history(connection, &key, &request.replay, &mut pending)
            .await?;
        self.rates()
            .charge_messages(&**connection, &history.page.messages, Instant::now());
        self.rooms().wait_for_roster(&key).await;
        self.announce_presence(connection, &key);
        Ok(Joined {
            members: self.members_for(connection, &room),
            room,
            epoch: history.page.epoch,
            seq: history.page.head,
            messages: history.page.messages,
            recovered: history.recovered,
            unread: history.unread,
            held: pending.complete(history.page.offset),
            _turn: turn,
        })
    }

    /// Reads the room's log for the reply, and notes the connection as a member in its session.
    async fn read_history(
        &self,
        connection: &Connection,
        key: &RoomKey,
        replay: &Replay,
        pending: &mut PendingJoin,
    ) -> Result<JoinHistory> {
        self.rooms().subscribed(key).await?;
        let (page, recovered) = self.replay(key, replay).await?;
        if !pending.entered {
            self.flush_before_reply(connection, key, &page).await?;
        }
        let user = connection.principal().user.clone();
        let mark = self.backend().read_markers.get(key, &user).await?;
        if !connection.complete_join(&key.room, page.offset) {
            return Err(connection_closing());
        }
        if pending.entered {
            pending.on_drop = OnDrop::Live(page.offset);
        }
        if pending.entered || pending.by == JoinedBy::Application {
            self.save_session(connection)
                .await
                .inspect_err(|_| pending.on_drop = OnDrop::Undo)?;
        }
        Ok(JoinHistory {
            unread: page.head.0.saturating_sub(mark.seq.0),
            page,
            recovered,
        })
    }

    /// Sends a member that joins again what is on its way to it and not in the reply, so that the reply comes after everything
    /// that is older.
    async fn flush_before_reply(
        &self,
        connection: &Connection,
        key: &RoomKey,
        page: &Page,
    ) -> Result<()> {
        // The subscriber has everything that the page shows after this.
        self.backend().bus.flush().await;
        let first = page.messages.first();
        let first = first.map_or(Offset(u64::MAX), |first| first.offset);
        let subscriber = connection.subscriber();
        if subscriber.flush_before_reply(&key.room, first, page.offset)
            || self.catch_up(connection).await
        {
            return Ok(());
        }
        Err(connection_closing())
    }

    /// Undoes the entry of a connection that was disconnected meanwhile: its end has not seen the room.
    fn leave_if_disconnected(&self, connection: &Connection, room: &RoomName) {
        if !connection.is_in(room) {
            self.rooms()
                .remove_member(&connection.room_key(room), connection);
        }
    }

    /// Starts the live events of a member that has been sent the reply to its join; what was held meanwhile comes first.
    pub fn go_live(&self, joined: &Joined) {
        joined.held.release();
    }

    /// Starts to deliver messages of a room that come after `read`.
    pub(in crate::hub) fn start_delivery(
        &self,
        connection: &Connection,
        room: &RoomName,
        read: Offset,
    ) {
        // In this order: the room must know the offset before the subscriber passes events on.
        self.rooms().with(&connection.room_key(room), |room| {
            room.skip_until(connection.id(), read);
        });
        connection.subscriber().release_room(room, read);
    }

    /// Checks that a caller may become a member of a room and, if it asks for that, read its history.
    pub(in crate::hub) fn check_join(
        &self,
        caller: &impl Caller,
        room: &RoomName,
        reads_history: bool,
    ) -> Result<()> {
        self.limiter().check_name(room.bytes())?;
        if !caller.may(Permission::Join, room) {
            return Err(Error::forbidden(format!(
                "this identity may not join {room}"
            )));
        }
        if reads_history && !caller.may(Permission::History, room) {
            return Err(Error::forbidden(format!(
                "this identity may not read the history of {room}"
            )));
        }
        Ok(())
    }

    /// Reads the messages that were asked for, and whether they are complete.
    async fn replay(&self, key: &RoomKey, replay: &Replay) -> Result<(Page, bool)> {
        let log = &self.backend().log;
        match replay {
            Replay::Nothing => Ok((log.read(key, Range::Last, PageSize::NOTHING).await?, false)),
            Replay::Last(count) => Ok((
                log.read(key, Range::Last, self.limiter().page_size(Some(*count)))
                    .await?,
                false,
            )),
            Replay::Since(position, fallback) => {
                let page = log
                    .read(
                        key,
                        Range::After(position.seq),
                        self.limiter().page_size(None),
                    )
                    .await?;
                if page.epoch == position.epoch && is_complete(&page, position.seq) {
                    return Ok((page, true));
                }
                // Something is missing in any case: the newest messages are of the most use.
                let size = self.limiter().page_size(*fallback);
                Ok((log.read(key, Range::Last, size).await?, false))
            }
        }
    }
}

/// Whether the page holds every message after `since` up to the head.
fn is_complete(page: &Page, since: Seq) -> bool {
    follows(page, since) && !page.more
}

/// Whether a page of messages after `since` misses none at its beginning.
pub(in crate::hub) fn follows(page: &Page, since: Seq) -> bool {
    since <= page.head && page.oldest <= since.next()
}
