//! Streams: connections whose rooms are named when they are opened, and which begin at a position in the log.
//!
//! History and live messages are one to such a client: everything after some offset of each room, in one order. So it begins as a
//! connection that is behind and catches up, like a resumed session. The log is read as fast as the client reads, however much
//! that is.

use std::time::Instant;

use indexmap::IndexSet;
use serde::Serialize;

use super::{Memberships, PreparedConnection};
use crate::{
    auth::{Permission, Principal},
    backend::{GAP_DETECTION_WINDOW, PageSize, Range},
    error::{Limit, Result},
    hooks::ClientFacts,
    hub::{Caller, Hub, StatelessCaller, commands::join::follows, limiter::limit_reached},
    model::{
        ConnectionId, Cursor, Epoch, Namespace, Offset, Position, RoomKey, RoomName, Seq, Timestamp,
    },
    traces,
};
use tracing::Instrument;

/// A request for a stream.
#[derive(Clone, Debug)]
pub struct StreamRequest {
    /// The rooms; the personal room is always one.
    pub rooms: IndexSet<RoomName>,
    /// Up to where everything was received before.
    pub since: Option<StreamStart>,
    /// Without `since`: how many of each room's last messages to begin with.
    pub history: usize,
}

/// Up to where a client has received everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamStart {
    /// In all rooms.
    Cursor(Cursor),
    /// In the stream's only room.
    Position(Position),
    /// Not a cursor or position of this server.
    Unknown,
}

/// A room of which not all messages after the requested start can be sent.
#[derive(Clone, Debug, Serialize)]
pub struct RoomReset {
    /// The room.
    pub room: RoomName,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its last sequence number.
    pub seq: Seq,
}

/// A stream that has been admitted.
#[derive(Debug)]
pub struct PreparedStream {
    /// To be passed to [`Hub::connect`].
    pub prepared: PreparedConnection,
    /// Where it begins: all messages of its rooms after this are sent.
    pub cursor: Cursor,
    /// Rooms that begin anew, because messages may be missing.
    pub resets: Vec<RoomReset>,
}

/// Where a stream begins in one room.
struct RoomStart {
    offset: Offset,
    reset: Option<RoomReset>,
}

impl Hub {
    /// Admits a stream of one user and determines where in each room it begins.
    ///
    /// # Errors
    /// `forbidden`, `limit_reached` or `rate_limited` if the user may not open it now, `unavailable` if storage fails.
    pub(crate) async fn prepare_stream(
        &self,
        namespace: Namespace,
        principal: Principal,
        stream: StreamRequest,
        facts: ClientFacts<'_>,
    ) -> Result<PreparedStream> {
        let span = traces::connect(&namespace, &facts.trace);
        let preparing = self.prepare_traced(namespace, principal, stream, facts);
        let prepared = preparing.instrument(span.clone()).await;
        match &prepared {
            Ok(stream) => traces::record_connection(&span, &stream.prepared.connection()),
            Err(error) => traces::record_error(&span, error.code().as_str()),
        }
        prepared
    }

    async fn prepare_traced(
        &self,
        namespace: Namespace,
        principal: Principal,
        stream: StreamRequest,
        facts: ClientFacts<'_>,
    ) -> Result<PreparedStream> {
        let id = ConnectionId::generate();
        let permitted = self.permit_connect(&namespace, principal, Some(id), &facts);
        let permitted = permitted.await?;
        let principal = permitted.principal.clone();
        let caller = self.stateless_caller(namespace.clone(), principal.clone())?;
        let caller = caller.at(permitted.unverified_address);
        let mut rooms = self.check_stream(&caller, &stream)?;
        self.acquire_stream_joins(&caller, rooms.len()).await?;
        for room in &rooms {
            self.permit_join(&caller, room).await?;
        }
        rooms.insert(RoomName::personal(&principal.user));
        let mut prepared = self.prepare_permitted(namespace.clone(), permitted, id)?;
        let log_end = self.backend().log.last_offset(&namespace).await?;
        let incarnation = self.backend().log.incarnation();
        let (mut start_offsets, mut resets) = (Memberships::new(), Vec::new());
        for room in rooms {
            let key = caller.room_key(&room);
            // A user who may not read history begins anew, and receives a reset.
            let may = caller.may(Permission::History, &room);
            let since = stream.since.as_ref().map(|since| match since {
                since if may => since,
                _ => &StreamStart::Unknown,
            });
            let start = self.start_in_room(&key, &stream, since, log_end).await?;
            start_offsets.insert(room, start.offset);
            resets.extend(start.reset);
        }
        let start = start_offsets.values().min().copied().unwrap_or(log_end);
        prepared.begin_in(start_offsets, start, incarnation);
        Ok(PreparedStream {
            prepared,
            cursor: self.cursor(start, Timestamp::now()),
            resets,
        })
    }

    /// The cursor by which a client continues a stream after an offset that it received at `ts` or later.
    pub(crate) fn cursor(&self, offset: Offset, ts: Timestamp) -> Cursor {
        Cursor {
            incarnation: self.backend().log.incarnation(),
            offset,
            ts,
        }
    }

    /// Waits until a user may join this many more rooms. A stream is a connection of its own, which has a burst of joins, so only the
    /// rate of its user counts.
    async fn acquire_stream_joins(&self, caller: &StatelessCaller, rooms: usize) -> Result<()> {
        let rooms = u32::try_from(rooms).unwrap_or(u32::MAX);
        let max_wait = self.limits().backpressure;
        let wait = self
            .rates()
            .reserve_user_joins(caller, rooms, Instant::now(), max_wait)?;
        if !wait.is_zero() {
            self.metrics().held_back(wait);
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// The rooms of a stream, if its user may join them.
    fn check_stream(
        &self,
        caller: &StatelessCaller,
        stream: &StreamRequest,
    ) -> Result<IndexSet<RoomName>> {
        let rooms = stream.rooms.clone();
        let limit = self.limits().rooms_per_connection;
        if limit != 0 && rooms.len() > limit {
            let message = format!("a connection may be in {limit} rooms");
            return Err(limit_reached(Limit::RoomsPerConnection, message));
        }
        for room in &rooms {
            self.check_join(caller, room, stream.history > 0)?;
        }
        Ok(rooms)
    }

    /// Where a stream that is opened at `log_end` begins in one room.
    async fn start_in_room(
        &self,
        room: &RoomKey,
        stream: &StreamRequest,
        since: Option<&StreamStart>,
        log_end: Offset,
    ) -> Result<RoomStart> {
        let named = stream.rooms.contains(&room.room);
        let found = match since {
            Some(StreamStart::Cursor(cursor)) => self.after_cursor(room, cursor, log_end).await?,
            Some(StreamStart::Position(position)) if named => {
                self.after_position(room, position, log_end).await?
            }
            Some(StreamStart::Unknown) => None,
            Some(StreamStart::Position(_)) => Some(log_end),
            None if stream.history == 0 || !named => Some(log_end),
            None => None,
        };
        if let Some(offset) = found {
            return Ok(RoomStart {
                offset,
                reset: None,
            });
        }
        let history = if named { stream.history } else { 0 };
        let log = &self.backend().log;
        let page = log
            .read(room, Range::Last, self.limiter().page_size(Some(history)))
            .await?;
        let first = page.messages.first().map(|first| before(first.offset));
        let reset = since.is_some().then(|| RoomReset {
            room: room.room.clone(),
            epoch: page.epoch,
            seq: page.head,
        });
        Ok(RoomStart {
            offset: first.unwrap_or(log_end),
            reset,
        })
    }

    /// The offset of a cursor, if no message of the room after it has been deleted.
    async fn after_cursor(
        &self,
        room: &RoomKey,
        cursor: &Cursor,
        log_end: Offset,
    ) -> Result<Option<Offset>> {
        let log = &self.backend().log;
        // A cursor from the far future was made while the clock was wrong, and tells nothing.
        let now = Timestamp::now();
        let recent = cursor.ts.until(now).max(now.until(cursor.ts)) < GAP_DETECTION_WINDOW;
        if cursor.incarnation != log.incarnation() || cursor.offset > log_end || !recent {
            return Ok(None);
        }
        let missed = log
            .missed(room, cursor.offset, log_end, PageSize::ONE)
            .await?;
        // Where nothing was missed it begins at the end of the log: otherwise a room could be reset again and again because of a
        // cursor that others, in which nothing happens, keep old.
        let from = match missed.messages.is_empty() {
            true => log_end,
            false => cursor.offset,
        };
        Ok(missed.complete.then_some(from))
    }

    /// The offset after which a room continues from a position, if no message after it has been deleted.
    async fn after_position(
        &self,
        room: &RoomKey,
        position: &Position,
        log_end: Offset,
    ) -> Result<Option<Offset>> {
        let range = Range::After(position.seq);
        let page = self.backend().log.read(room, range, PageSize::ONE).await?;
        let next = page.messages.first().map(|next| before(next.offset));
        let known = page.epoch == position.epoch && follows(&page, position.seq);
        // Where nothing was missed it begins at the end of the log: its cursor would otherwise name an offset that lies far back for
        // other rooms.
        Ok(known.then(|| next.unwrap_or(page.offset.max(log_end))))
    }
}

/// The offset before a message.
fn before(offset: Offset) -> Offset {
    Offset(offset.0 - 1)
}

#[cfg(test)]
mod tests;
