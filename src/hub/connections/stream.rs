//! Streams: connections whose rooms are said when they begin, and which begin at a place in the log.
//!
//! What such a client wants of the past and what comes live is one thing to it: everything after some offset of each room,
//! in one order. So it begins as a connection that is behind and catches up, like a session that goes on; the log is read
//! as fast as the client reads, however much that is.

use std::time::Instant;

use indexmap::IndexSet;
use serde::Serialize;

use crate::hub::{
    Caller, Hub, PreparedConnection, ResumeRequest, Visitor, connections::Memberships,
    join::follows, reached,
};
use crate::{
    auth::{Permission, Principal},
    backend::{GAP_DETECTION_WINDOW, PageSize, Range},
    error::{Limit, Result},
    model::{Cursor, Epoch, Namespace, Offset, Position, RoomKey, RoomName, Seq, Timestamp},
};

/// What a stream is to be.
#[derive(Clone, Debug)]
pub struct StreamRequest {
    /// The rooms; the personal room is always one.
    pub rooms: IndexSet<RoomName>,
    /// The place up to which everything was received before.
    pub since: Option<StreamStart>,
    /// Without such a place: so many of each room's last messages.
    pub history: usize,
}

/// A place up to which everything was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamStart {
    /// Of all rooms.
    Cursor(Cursor),
    /// Of the only room.
    Position(Position),
    /// One that is none of this server's.
    Unknown,
}

/// A room of which not everything can be given that came after the place that was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct RoomReset {
    /// Which.
    pub room: RoomName,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its last number.
    pub seq: Seq,
}

/// A stream that may begin.
#[derive(Debug)]
pub struct PreparedStream {
    /// To be made a connection of.
    pub arrived: PreparedConnection,
    /// Where it begins: everything of its rooms that comes after this is given.
    pub cursor: Cursor,
    /// Rooms that begin anew.
    pub resets: Vec<RoomReset>,
}

/// What is decided about one room.
struct Start {
    floor: Offset,
    reset: Option<RoomReset>,
}

impl Hub {
    /// Admits a stream of one user and settles where in each room it begins.
    pub async fn prepare_stream(
        &self,
        namespace: Namespace,
        principal: Principal,
        stream: StreamRequest,
    ) -> Result<PreparedStream> {
        let who = self.visitor(namespace.clone(), principal.clone())?;
        let mut rooms = self.check_stream(&who, &stream)?;
        self.hold_back_stream(&who, rooms.len()).await?;
        rooms.insert(RoomName::personal(&principal.user));
        let mut arrived = self
            .prepare_connection(namespace.clone(), principal, ResumeRequest::Unsupported)
            .await?;
        let until = self.0.backend.log.last_offset(&namespace).await?;
        let life = self.0.backend.log.incarnation();
        let (mut floors, mut resets) = (Memberships::new(), Vec::new());
        for room in rooms {
            let key = who.key(&room);
            // Whoever may not read what was before begins anew, and is told so.
            let may = who.may(Permission::History, &room);
            let since = stream.since.as_ref().map(|since| match since {
                since if may => since,
                _ => &StreamStart::Unknown,
            });
            let start = self.start(&key, &stream, since, until).await?;
            floors.insert(room, start.floor);
            resets.extend(start.reset);
        }
        let given = floors.values().min().copied().unwrap_or(until);
        arrived.begin_in(floors, given, life);
        Ok(PreparedStream {
            arrived,
            cursor: self.cursor(given, Timestamp::now()),
            resets,
        })
    }

    /// What a client of a stream gives back to go on behind an offset that it was given at `ts` or later.
    pub fn cursor(&self, offset: Offset, ts: Timestamp) -> Cursor {
        Cursor {
            incarnation: self.0.backend.log.incarnation(),
            offset,
            ts,
        }
    }

    /// Waits until a user may join so many rooms more. A stream is a connection of its own, which has a burst of joins, so only
    /// those of its user count; and EventSource does not come back after a refusal, so as few are refused as with connections.
    async fn hold_back_stream(&self, who: &Visitor, rooms: usize) -> Result<()> {
        let rooms = u32::try_from(rooms).unwrap_or(u32::MAX);
        let patience = self.0.limits.backpressure;
        let wait = self.reserve_user_joins(who, rooms, Instant::now(), patience)?;
        if !wait.is_zero() {
            self.0.metrics.held_back(wait);
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// The rooms of a stream, each once, if it may begin.
    fn check_stream(&self, who: &Visitor, stream: &StreamRequest) -> Result<IndexSet<RoomName>> {
        let rooms = stream.rooms.clone();
        let most = self.0.limits.rooms_per_connection;
        if most != 0 && rooms.len() > most {
            let message = format!("a connection may be in {most} rooms");
            return Err(reached(Limit::RoomsPerConnection, message));
        }
        for room in &rooms {
            self.check_entry(who, room, stream.history > 0)?;
        }
        Ok(rooms)
    }

    /// Where a stream of which everything up to `until` is past begins in one room.
    async fn start(
        &self,
        room: &RoomKey,
        stream: &StreamRequest,
        since: Option<&StreamStart>,
        until: Offset,
    ) -> Result<Start> {
        let named = stream.rooms.contains(&room.room);
        let found = match since {
            Some(StreamStart::Cursor(cursor)) => self.after_cursor(room, cursor, until).await?,
            Some(StreamStart::Position(position)) if named => {
                self.after_position(room, position, until).await?
            }
            Some(StreamStart::Unknown) => None,
            Some(StreamStart::Position(_)) => Some(until),
            None if stream.history == 0 || !named => Some(until),
            None => None,
        };
        if let Some(floor) = found {
            return Ok(Start { floor, reset: None });
        }
        let history = if named { stream.history } else { 0 };
        let log = &self.0.backend.log;
        let page = log
            .read(room, Range::Last, self.page(Some(history)))
            .await?;
        let first = page.messages.first().map(|first| before(first.offset));
        let reset = since.is_some().then(|| RoomReset {
            room: room.room.clone(),
            epoch: page.epoch,
            seq: page.head,
        });
        Ok(Start {
            floor: first.unwrap_or(until),
            reset,
        })
    }

    /// The place of a cursor, if nothing of the room is gone that came after it.
    async fn after_cursor(
        &self,
        room: &RoomKey,
        cursor: &Cursor,
        until: Offset,
    ) -> Result<Option<Offset>> {
        let log = &self.0.backend.log;
        // One from far ahead is of a time when the clock was wrong, and tells nothing.
        let now = Timestamp::now();
        let recent = cursor.ts.until(now).max(now.until(cursor.ts)) < GAP_DETECTION_WINDOW;
        if cursor.incarnation != log.incarnation() || cursor.offset > until || !recent {
            return Ok(None);
        }
        let missed = log
            .missed(room, cursor.offset, until, PageSize::ONE)
            .await?;
        // Where nothing was missed it begins now, so that one room that is reset is not reset again and again because of
        // others on which nothing happens.
        let from = match missed.messages.is_empty() {
            true => until,
            false => cursor.offset,
        };
        Ok(missed.complete.then_some(from))
    }

    /// The offset behind which a room goes on after a position, if nothing of it is gone.
    async fn after_position(
        &self,
        room: &RoomKey,
        position: &Position,
        until: Offset,
    ) -> Result<Option<Offset>> {
        let range = Range::After(position.seq);
        let page = self.0.backend.log.read(room, range, PageSize::ONE).await?;
        let next = page.messages.first().map(|next| before(next.offset));
        let known = page.epoch == position.epoch && follows(&page, position.seq);
        // Where nothing was missed it begins now: its cursor would otherwise stand for what other rooms had long before.
        Ok(known.then(|| next.unwrap_or(page.offset.max(until))))
    }
}

/// The place before a message.
fn before(offset: Offset) -> Offset {
    Offset(offset.0 - 1)
}
