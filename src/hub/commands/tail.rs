//! Reading a room along: its newest messages, then everything as it is delivered, without being a member.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    backend::{PageSize, Range},
    error::Result,
    hub::{Caller, Event, Hub, OutgoingEvent, StatelessCaller, rooms::tails::TailReceiver},
    model::{Message, Offset, RoomKey, RoomName},
};

/// What happens in a room, for a reader that is no member.
///
/// A slow reader misses events, and is told how many. Dropping this ends it.
pub(crate) struct RoomTail {
    hub: Hub,
    room: RoomKey,
    events: TailReceiver,
    /// The newest messages before the live ones.
    history: VecDeque<Arc<Message>>,
    /// Up to where the history was read.
    read: Offset,
}

/// What a reader gets next.
pub(crate) enum TailEvent {
    /// A stored message.
    Message(Arc<Message>),
    /// An event that is not stored.
    Event(Arc<OutgoingEvent>),
    /// So many events were skipped, because the reader was too slow.
    Skipped(u64),
}

impl Hub {
    /// Reads a room along from its last `history` messages on. For back ends: no grants are checked.
    ///
    /// # Errors
    /// Fails with `bad_request` if the room's name is longer than configured, and `unavailable` if the log cannot be read.
    pub(crate) async fn tail(
        &self,
        caller: &StatelessCaller,
        room: &RoomName,
        history: usize,
    ) -> Result<RoomTail> {
        self.limiter().check_name(room.bytes())?;
        let room = caller.room_key(room);
        // Before the log is read, so that nothing is missed in between.
        let events = self.rooms().add_tail(&room);
        let mut tail = RoomTail {
            hub: self.clone(),
            events,
            history: VecDeque::new(),
            read: Offset(0),
            room,
        };
        self.rooms().subscribed(&tail.room).await?;
        let size = match history {
            0 => PageSize::NOTHING,
            messages => self.limiter().page_size(Some(messages)),
        };
        let page = self
            .backend()
            .log
            .read(&tail.room, Range::Last, size)
            .await?;
        tail.read = page.offset;
        tail.history = page.messages.into();
        Ok(tail)
    }
}

impl RoomTail {
    /// Waits for the next event; `None` if the server stops. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<TailEvent> {
        if let Some(message) = self.history.pop_front() {
            return Some(TailEvent::Message(message));
        }
        loop {
            match self.events.take_skipped() {
                0 => {}
                skipped => return Some(TailEvent::Skipped(skipped)),
            }
            let event = self.events.recv().await?;
            match event.event() {
                Event::Message(message) if message.offset <= self.read => {} // in the history
                Event::Message(message) => return Some(TailEvent::Message(message.clone())),
                _ => return Some(TailEvent::Event(event)),
            }
        }
    }
}

impl Drop for RoomTail {
    fn drop(&mut self) {
        self.events.close();
        self.hub.rooms().remove_closed_tails(&self.room);
    }
}

#[cfg(test)]
mod tests;
