//! Catching up: reads from the log what a connection has missed of its rooms, and pushes it in the order of offsets.
//!
//! There is one way for all connections that are behind: a client that has reconnected, one that reads more slowly than its rooms
//! publish, one for which more was published during a join than could be held. Reading waits for the client, so that it costs a
//! page per room and no more, however much was missed.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::SemaphorePermit, time::sleep};

use super::{CloseReason, Connection, STORE_RETRY};
use crate::{
    backend::PageSize,
    error::{Code, Error, Limit, Result},
    hub::{Hub, event::Event, event::OutgoingEvent},
    limits::Reservation,
    model::{ConnectionId, Message, Offset, RoomKey},
    retry::log_in_bursts,
};

/// How much is read for one connection at a time, over all its rooms; at least one message of each room.
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 512 << 10;

/// Bytes read but not pushed yet for which no memory is reserved.
const UNRESERVED_BYTES: usize = 16 << 10;

/// How soon a reservation of memory is retried.
const MEMORY_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The missed messages of one room, while they are read.
struct RoomReplay {
    room: RoomKey,
    /// Everything up to this offset was read.
    read: Offset,
    /// Read and not pushed yet.
    messages: VecDeque<Arc<Message>>,
}

impl Hub {
    /// Catches up as soon as no other task joins, leaves or catches up: those change what is to be read.
    ///
    /// Runs in a task of its own whenever a connection's subscriber has dropped messages.
    pub(in crate::hub) async fn lock_and_catch_up(self, connection: Arc<Connection>) {
        let _guard = connection.lock_memberships().await;
        self.catch_up(&connection).await;
    }

    /// Pushes what a connection has missed, if anything, and closes the connection if something of it cannot be read. The caller
    /// holds the membership lock. False if the connection was closed.
    ///
    /// Pushes everything that is stored when this begins. If the subscriber drops more messages meanwhile, another task waits for
    /// the lock with those: a client that is always behind could otherwise never join or leave a room.
    pub(in crate::hub) async fn catch_up(&self, connection: &Connection) -> bool {
        let Some(pushed) = connection.subscriber().begin_catch_up() else {
            return true;
        };
        self.metrics().catching_up.inc();
        let caught_up = self.push_missed(connection, pushed).await;
        self.metrics().catching_up.dec();
        if let Err(error) = &caught_up {
            log_in_bursts!(warn, ?connection, %error, "failed to catch up: closing the connection");
            connection.subscriber().close();
            connection.close(CloseReason::Unavailable);
        }
        caught_up.is_ok()
    }

    /// Pushes what is newer than `pushed`, up to the current end of the log.
    async fn push_missed(&self, connection: &Connection, pushed: Offset) -> Result<()> {
        let memberships = connection.memberships().unwrap_or_default();
        for room in memberships.keys() {
            let key = connection.room_key(room);
            retry_unavailable(connection, || self.rooms().subscribed(&key)).await?;
        }
        let log = &self.backend().log;
        let log_end =
            retry_unavailable(connection, || log.last_offset(connection.namespace())).await?;
        if connection.is_stale(&log.incarnation()) {
            return Err(Error::unavailable(
                "the log has begun a new incarnation; missed messages may be lost",
            ));
        }
        let mut rooms: Vec<_> = memberships
            .into_iter()
            .map(|(room, start_offset)| RoomReplay {
                room: connection.room_key(&room),
                read: start_offset.max(pushed),
                messages: VecDeque::new(),
            })
            .collect();
        loop {
            wait_until_drained(connection).await;
            if connection.subscriber().is_closed() {
                return Ok(());
            }
            let (complete_to, mut reserved) =
                self.read_pages(connection, &mut rooms, log_end).await?;
            for message in take_up_to(&mut rooms, complete_to, connection.id()) {
                wait_until_drained(connection).await;
                if !connection.is_in(&message.room.room) {
                    continue;
                }
                let share = reserved.as_mut().map(|held| held.split(message.cost()));
                let event = OutgoingEvent::with_reservation(Event::Message(message), share);
                if connection.subscriber().push_replayed(&event) {
                    self.metrics().replayed.inc();
                }
            }
            if complete_to >= log_end {
                connection.subscriber().finish_catch_up(log_end);
                return Ok(());
            }
        }
    }

    /// Reads the next page of every room of which nothing is left to push. Returns the offset up to which all rooms have been read,
    /// and the memory that is reserved for the messages.
    async fn read_pages(
        &self,
        connection: &Connection,
        rooms: &mut [RoomReplay],
        log_end: Offset,
    ) -> Result<(Offset, Option<Reservation>)> {
        let (_permit, reserved) = self.acquire_read(connection).await;
        let size = PageSize {
            messages: (BATCH_MESSAGES / rooms.len().max(1)).max(1),
            bytes: BATCH_BYTES / rooms.len().max(1),
        };
        let log = &self.backend().log;
        for replay in rooms.iter_mut() {
            if !replay.messages.is_empty() || replay.read >= log_end {
                continue;
            }
            let (room, read) = (&replay.room, replay.read);
            let page =
                retry_unavailable(connection, || log.missed(room, read, log_end, size)).await?;
            if !page.complete {
                return Err(Error::unavailable(
                    "missed messages have been deleted by retention",
                ));
            }
            replay.read = match page.messages.last() {
                Some(last) if page.more => last.offset,
                _ => log_end,
            };
            replay.messages = page.messages.into();
        }
        let complete_to = rooms.iter().map(|replay| replay.read).min();
        let unpushed = rooms.iter().flat_map(|replay| &replay.messages);
        let bytes: usize = unpushed.map(|message| message.cost()).sum();
        let reserved = reserved
            .filter(|_| bytes > UNRESERVED_BYTES)
            .map(|mut held| {
                held.shrink(held.units().saturating_sub(bytes));
                held
            });
        Ok((complete_to.unwrap_or(log_end), reserved))
    }

    /// Waits until a connection may read, and reserves memory for what it reads at a time. Where there is no memory it stays behind
    /// for longer. No memory is reserved if it has ended meanwhile.
    async fn acquire_read(
        &self,
        connection: &Connection,
    ) -> (Option<SemaphorePermit<'_>>, Option<Reservation>) {
        let mut counted = false;
        loop {
            // The semaphore is never closed. The permit is given back where there is no memory: other connections may have some.
            let permit = self.sessions().catch_up_permit().await;
            match self.reserve_memory(connection, BATCH_BYTES) {
                Ok(reserved) => return (permit, Some(reserved)),
                Err(_) if connection.subscriber().is_closed() => return (permit, None),
                Err(_) if !std::mem::replace(&mut counted, true) => {
                    self.metrics().limited(Limit::Memory);
                }
                Err(_) => {}
            }
            drop(permit);
            sleep(MEMORY_RETRY_DELAY).await;
        }
    }
}

/// Retries while storage is unavailable, until the connection has ended: clients stay connected meanwhile.
async fn retry_unavailable<T, F>(connection: &Connection, call: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut retry = STORE_RETRY;
    loop {
        match call().await {
            Err(error)
                if error.code() == Code::Unavailable && !connection.subscriber().is_closed() =>
            {
                tracing::debug!(?connection, %error, "cannot read missed messages: retrying");
                retry.wait().await;
            }
            result => return result,
        }
    }
}

/// Takes the messages that were read up to an offset, in order, without those that exclude the reader.
fn take_up_to(
    rooms: &mut [RoomReplay],
    complete_to: Offset,
    reader: ConnectionId,
) -> Vec<Arc<Message>> {
    let mut taken = Vec::new();
    for replay in rooms {
        let count = replay
            .messages
            .partition_point(|message| message.offset <= complete_to);
        taken.extend(replay.messages.drain(..count));
    }
    taken.retain(|message| message.except != Some(reader));
    taken.sort_unstable_by_key(|message| message.offset);
    taken
}

/// Waits until the client has received most of what was pushed to it.
async fn wait_until_drained(connection: &Connection) {
    let sink = connection.sink();
    if sink.is_behind() {
        sink.drained().await;
    }
}
