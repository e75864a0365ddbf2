//! Catching up: what a connection has missed of its rooms is read from the log and given in the order of offsets.
//!
//! One way for whoever is behind: a client that has come back, one that reads more slowly than its rooms speak, one for
//! which more came during a join than could be held. Reading waits for the client, so that it costs a page a room and
//! no more, however much was missed.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::SemaphorePermit, time::sleep};

use crate::hub::{
    Connection, Hub, connections::CloseReason, event::Event, event::Outgoing, session::TRY_AGAIN,
};
use crate::{
    backend::PageSize,
    error::{Code, Error, Limit, Result},
    limits::Reservation,
    model::{ConnectionId, Message, Offset, RoomKey},
    repeat::log_in_bursts,
};

/// What one connection reads at a time, over all its rooms; of each room at least one message.
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 512 << 10;

/// Bytes of what was read that cost nothing of the node's memory.
const FREE: usize = 16 << 10;

/// How often memory is looked for that was not there.
const AGAIN: Duration = Duration::from_millis(100);

/// A room that is being read.
struct Reading {
    room: RoomKey,
    /// Everything up to here was read.
    read: Offset,
    /// Read and not yet given.
    messages: VecDeque<Arc<Message>>,
}

impl Hub {
    /// Gives a connection what it has missed, if anything; closes it if that cannot be whole.
    ///
    /// A task of its own calls this whenever the connection's feed has let messages go. It waits its turn with joins
    /// and leaves, which change what is to be read.
    pub(in crate::hub) async fn catch_up_in_turn(self, connection: Arc<Connection>) {
        let _turn = connection.turn().await;
        self.catch_up(&connection).await;
    }

    /// See [`catch_up_in_turn`](Self::catch_up_in_turn); for whoever has the turn. False if the connection was closed.
    ///
    /// Everything is given that is stored when this begins. If the feed lets more go meanwhile, another task is waiting
    /// for its turn with that: a client that is always behind would otherwise never join or leave anything.
    pub(in crate::hub) async fn catch_up(&self, connection: &Connection) -> bool {
        let Some(given) = connection.feed().begin_catching_up() else {
            return true;
        };
        self.0.metrics.catching_up.inc();
        let caught_up = self.give_missed(connection, given).await;
        self.0.metrics.catching_up.dec();
        if let Err(error) = &caught_up {
            log_in_bursts!(warn, ?connection, %error, "a connection could not catch up and is closed");
            connection.feed().close();
            connection.close(CloseReason::Unavailable);
        }
        caught_up.is_ok()
    }

    /// Gives what is newer than `given`, up to the log's end now.
    async fn give_missed(&self, connection: &Connection, given: Offset) -> Result<()> {
        let memberships = connection.memberships().unwrap_or_default();
        for room in memberships.keys() {
            let key = connection.key(room);
            patiently(connection, || self.0.rooms.subscribed(&key)).await?;
        }
        let log = &self.0.backend.log;
        let until = patiently(connection, || log.last_offset(connection.namespace())).await?;
        if connection.has_outlived(&log.incarnation()) {
            return Err(Error::unavailable(
                "the log has begun another life, and what a connection missed may be lost",
            ));
        }
        let mut rooms: Vec<_> = memberships
            .into_iter()
            .map(|(room, floor)| Reading {
                room: connection.key(&room),
                read: floor.max(given),
                messages: VecDeque::new(),
            })
            .collect();
        loop {
            drained(connection).await;
            if connection.feed().is_over() {
                return Ok(());
            }
            let (reached, mut held) = self.read_on(connection, &mut rooms, until).await?;
            for message in take_up_to(&mut rooms, reached, connection.id()) {
                drained(connection).await;
                if !connection.is_in(&message.room.room) {
                    continue;
                }
                let held = held.as_mut().map(|held| held.split(message.cost()));
                let event = Outgoing::for_one(Event::Message(message), held);
                if connection.feed().give(&event) {
                    self.0.metrics.replayed.inc();
                }
            }
            if reached >= until {
                connection.feed().caught_up(until);
                return Ok(());
            }
        }
    }

    /// Reads the next page of every room that has nothing left to give; answers up to where all of them are read, and what is
    /// reserved for what was read.
    async fn read_on(
        &self,
        connection: &Connection,
        rooms: &mut [Reading],
        until: Offset,
    ) -> Result<(Offset, Option<Reservation>)> {
        let (_permit, held) = self.turn_to_read(connection).await;
        let size = PageSize {
            messages: (BATCH_MESSAGES / rooms.len().max(1)).max(1),
            bytes: BATCH_BYTES / rooms.len().max(1),
        };
        for reading in rooms.iter_mut() {
            if !reading.messages.is_empty() || reading.read >= until {
                continue;
            }
            let log = &self.0.backend.log;
            let (room, read) = (&reading.room, reading.read);
            let missed = patiently(connection, || log.missed(room, read, until, size)).await?;
            if !missed.complete {
                return Err(Error::unavailable(
                    "what a connection missed is not kept any more",
                ));
            }
            reading.read = match missed.messages.last() {
                Some(last) if missed.more => last.offset,
                _ => until,
            };
            reading.messages = missed.messages.into();
        }
        let reached = rooms.iter().map(|reading| reading.read).min();
        let waiting = rooms.iter().flat_map(|reading| &reading.messages);
        let bytes: usize = waiting.map(|message| message.cost()).sum();
        let held = held.filter(|_| bytes > FREE).map(|mut held| {
            held.shrink(held.units().saturating_sub(bytes));
            held
        });
        Ok((reached.unwrap_or(until), held))
    }

    /// Waits until a connection may read, and reserves what it reads at a time; it is behind for longer where there is no memory. No
    /// memory is reserved if it has ended meanwhile.
    async fn turn_to_read(
        &self,
        connection: &Connection,
    ) -> (Option<SemaphorePermit<'_>>, Option<Reservation>) {
        let mut counted = false;
        loop {
            // Never closed, so there is always a permit to wait for. It is given back where there is no memory: others may have some.
            let permit = self.0.catch_ups.acquire().await.ok();
            match self.reserve_memory(connection, BATCH_BYTES) {
                Ok(held) => return (permit, Some(held)),
                Err(_) if connection.feed().is_over() => return (permit, None),
                Err(_) if !std::mem::replace(&mut counted, true) => {
                    self.0.metrics.limited(Limit::Memory);
                }
                Err(_) => {}
            }
            drop(permit);
            sleep(AGAIN).await;
        }
    }
}

/// Asks the log until it can answer, or the connection has ended: whoever is connected stays so while storage is away.
async fn patiently<T, F>(connection: &Connection, ask: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut again = TRY_AGAIN;
    loop {
        match ask().await {
            Err(error) if error.code() == Code::Unavailable && !connection.feed().is_over() => {
                tracing::debug!(?connection, %error, "what a connection missed cannot be read now");
                again.wait().await;
            }
            answer => return answer,
        }
    }
}

/// Takes what was read up to an offset, in order, without what a connection does not want back.
fn take_up_to(rooms: &mut [Reading], reached: Offset, reader: ConnectionId) -> Vec<Arc<Message>> {
    let mut taken = Vec::new();
    for reading in rooms {
        let count = reading
            .messages
            .partition_point(|message| message.offset <= reached);
        taken.extend(reading.messages.drain(..count));
    }
    taken.retain(|message| message.except != Some(reader));
    taken.sort_unstable_by_key(|message| message.offset);
    taken
}

/// Waits until the client has taken most of what was given to it.
async fn drained(connection: &Connection) {
    let outlet = connection.feed().outlet();
    if outlet.is_behind() {
        outlet.drained().await;
    }
}
