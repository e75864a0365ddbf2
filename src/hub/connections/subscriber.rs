//! The ordered stream of events that the rooms of one connection send to it: messages in the order of their offsets, over all
//! rooms.
//!
//! A client that reconnects names one offset, the last that it received. So at every moment the messages that a connection
//! has received must be all messages of its rooms up to one offset. The subscriber stands between rooms and event sink and
//! holds events back where pushing them at once would break that: while a room is joined (the reply with its history is not
//! sent yet), and while the log is read for messages that the connection has missed. The held events are bounded. Beyond the
//! bound, or when the sink is behind, messages are dropped, and the subscriber remembers from which offset on the log has to
//! be read (`catch_up`). It never awaits and does not know the log.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::event_sink::EventSink;
use crate::{
    hub::event::{DeliveryPolicy, OutgoingEvent},
    model::{Offset, RoomName},
    sync::lock,
};

/// Bounds of the events that are held for one connection. Beyond either of them the log is read instead.
const MAX_HELD_EVENTS: usize = 1024;
const MAX_HELD_BYTES: usize = 1 << 20;

/// Called when a subscriber has dropped messages: starts reading them from the log.
pub(in crate::hub) type CatchUpTrigger = Box<dyn Fn() + Send + Sync>;

/// Orders the events of all rooms of one connection.
pub(in crate::hub) struct Subscriber {
    sink: Arc<dyn EventSink>,
    /// Nothing is held: events go to the sink without the lock. Set and cleared under the lock; a task that sees it set
    /// sees what was pushed before.
    live: AtomicBool,
    /// Messages up to this offset have been pushed or must not be.
    skip_until: AtomicU64,
    state: Mutex<SubscriberState>,
    catch_up: CatchUpTrigger,
}

#[derive(Default)]
struct SubscriberState {
    /// Rooms that are being joined: their events are held, and all events behind a held one.
    held_rooms: Vec<RoomName>,
    /// The log is being read: all events are held.
    catching_up: bool,
    /// Messages were dropped: everything up to this offset has been pushed, newer messages have to be read from the log.
    behind: Option<Offset>,
    /// Nothing is pushed any more.
    closed: bool,
    held: VecDeque<(RoomName, Arc<OutgoingEvent>)>,
    bytes: usize,
    /// Ephemeral events that were dropped and not counted yet.
    dropped: u64,
}

impl Subscriber {
    /// A subscriber that is live and skips messages up to `skip_until`.
    pub(in crate::hub) fn live(
        sink: Arc<dyn EventSink>,
        skip_until: Offset,
        catch_up: CatchUpTrigger,
    ) -> Self {
        Self {
            sink,
            live: AtomicBool::new(true),
            skip_until: AtomicU64::new(skip_until.0),
            state: Mutex::default(),
            catch_up,
        }
    }

    /// A subscriber of a connection that has received everything up to `received`: it has to catch up before it is live.
    pub(in crate::hub) fn behind(
        sink: Arc<dyn EventSink>,
        received: Offset,
        catch_up: CatchUpTrigger,
    ) -> Self {
        let subscriber = Self::live(sink, received, catch_up);
        subscriber.live.store(false, Ordering::Relaxed);
        lock(&subscriber.state).behind = Some(received);
        subscriber
    }

    pub(in crate::hub) fn sink(&self) -> &Arc<dyn EventSink> {
        &self.sink
    }

    /// Pushes or holds the next event of `room`; false if this subscriber drops it or has pushed it before.
    ///
    /// Messages must come in the order of their offsets, from one task.
    pub(in crate::hub) fn push(&self, room: &RoomName, event: &Arc<OutgoingEvent>) -> bool {
        let offset = event.offset();
        if self.live.load(Ordering::Acquire) {
            if self.is_old(offset) {
                return false;
            }
            if offset.is_none() || !self.sink.is_behind() {
                self.sink.push(event);
                return true;
            }
        }
        let (taken, falls_behind, dropped) = {
            let mut state = lock(&self.state);
            let was_behind = state.behind.is_some();
            let taken =
                !state.closed && !self.is_old(offset) && self.push_or_hold(&mut state, room, event);
            self.update_live(&state);
            let falls_behind = !was_behind && state.behind.is_some();
            (taken, falls_behind, std::mem::take(&mut state.dropped))
        };
        if dropped > 0 {
            self.sink.dropped(dropped);
        }
        if falls_behind {
            (self.catch_up)();
        }
        taken
    }

    /// Pushes, holds or drops an event that could not be pushed without the lock.
    fn push_or_hold(
        &self,
        state: &mut SubscriberState,
        room: &RoomName,
        event: &Arc<OutgoingEvent>,
    ) -> bool {
        let offset = event.offset();
        if state.behind.is_some() && offset.is_some() {
            return false;
        }
        let holds_all = state.catching_up || state.behind.is_some() || !state.held.is_empty();
        if holds_all || state.held_rooms.contains(room) {
            return state.hold(room, event);
        }
        self.push_unless_behind(state, event)
    }

    /// Pushes an event, or, if it is a message and the sink is behind, drops it with all that are held: they are to be read from
    /// the log. False if it was dropped.
    fn push_unless_behind(&self, state: &mut SubscriberState, event: &OutgoingEvent) -> bool {
        if let Some(offset) = event.offset()
            && self.sink.is_behind()
        {
            state.fall_behind(offset);
            return false;
        }
        self.sink.push(event);
        true
    }

    /// Holds the events of a room that is being joined, until [`release_room`](Self::release_room) or
    /// [`remove_room`](Self::remove_room).
    pub(in crate::hub) fn hold_room(&self, room: &RoomName) {
        let mut state = lock(&self.state);
        if !state.held_rooms.contains(room) {
            state.held_rooms.push(room.clone());
        }
        self.update_live(&state);
    }

    /// Pushes the events of `room` from now on, after the reply to its join: messages only if they are newer than `read`, the
    /// end of the history in the reply.
    pub(in crate::hub) fn release_room(&self, room: &RoomName, read: Offset) {
        let mut state = lock(&self.state);
        state.stop_holding(room);
        state.retain(|of, event| of != room || event.offset().is_none_or(|offset| offset > read));
        self.release(state);
    }

    /// Pushes what is held before the reply to a second join of `room`, whose history is the messages from `first` to `last`:
    /// all held events up to there, except those messages. Everything up to `last` must have come to the subscriber. False if
    /// that is impossible because messages were dropped.
    pub(in crate::hub) fn flush_before_reply(
        &self,
        room: &RoomName,
        first: Offset,
        last: Offset,
    ) -> bool {
        let mut state = lock(&self.state);
        if state.behind.is_some() {
            return false;
        }
        let up_to = |(_, event): &(RoomName, Arc<OutgoingEvent>)| {
            event.offset().is_some_and(|offset| offset <= last)
        };
        let count = state.held.iter().rposition(up_to).map_or(0, |at| at + 1);
        for _ in 0..count {
            let Some((of, event)) = state.pop() else {
                break;
            };
            let in_reply = event.offset().is_some_and(|offset| offset >= first);
            if (of != *room || !in_reply) && !self.push_unless_behind(&mut state, &event) {
                return false;
            }
        }
        true
    }

    /// Drops what is held of `room`: the connection has left it.
    pub(in crate::hub) fn remove_room(&self, room: &RoomName) {
        let mut state = lock(&self.state);
        state.stop_holding(room);
        state.retain(|of, _| of != room);
        self.release(state);
    }

    /// Begins to catch up if messages were dropped; returns the offset up to which everything has been pushed. From now on all
    /// events are held, so the log is to be read up to an end that is determined after this.
    pub(in crate::hub) fn begin_catch_up(&self) -> Option<Offset> {
        let mut state = lock(&self.state);
        let pushed = state.behind.take()?;
        state.catching_up = true;
        Some(pushed)
    }

    /// Pushes a message that was read from the log; false if the subscriber is closed.
    pub(in crate::hub) fn push_replayed(&self, event: &OutgoingEvent) -> bool {
        let state = lock(&self.state);
        if !state.closed {
            self.sink.push(event);
        }
        !state.closed
    }

    /// Ends catching up: everything up to `until` has been pushed. Pushes what is held and newer, unless messages were dropped
    /// meanwhile: then the log is to be read again.
    pub(in crate::hub) fn finish_catch_up(&self, until: Offset) {
        let mut state = lock(&self.state);
        state.catching_up = false;
        self.skip_until.store(until.0, Ordering::Relaxed);
        if let Some(behind) = &mut state.behind {
            *behind = until;
        } else {
            state.retain(|_, event| event.offset().is_none_or(|offset| offset > until));
            self.release(state);
        }
    }

    /// Drops what is held and pushes nothing any more.
    pub(in crate::hub) fn close(&self) {
        let mut state = lock(&self.state);
        *state = SubscriberState {
            closed: true,
            ..SubscriberState::default()
        };
        self.update_live(&state);
    }

    /// Whether nothing is pushed any more.
    pub(in crate::hub) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    fn is_old(&self, offset: Option<Offset>) -> bool {
        offset.is_some_and(|offset| offset.0 <= self.skip_until.load(Ordering::Relaxed))
    }

    /// Pushes what is held, up to the first event of a room that is being joined or until the sink is behind.
    fn release(&self, mut state: MutexGuard<'_, SubscriberState>) {
        let mut falls_behind = false;
        if !state.catching_up && state.behind.is_none() {
            while !falls_behind
                && let Some((room, _)) = state.held.front()
                && !state.held_rooms.contains(room)
                && let Some((_, event)) = state.pop()
            {
                falls_behind = !self.push_unless_behind(&mut state, &event);
            }
        }
        self.update_live(&state);
        drop(state);
        if falls_behind {
            (self.catch_up)();
        }
    }

    fn update_live(&self, state: &SubscriberState) {
        self.live.store(state.is_live(), Ordering::Release);
    }
}

impl SubscriberState {
    fn is_live(&self) -> bool {
        !self.closed
            && !self.catching_up
            && self.behind.is_none()
            && self.held_rooms.is_empty()
            && self.held.is_empty()
    }

    fn stop_holding(&mut self, room: &RoomName) {
        self.held_rooms.retain(|held| held != room);
        if self.held_rooms.is_empty() {
            self.held_rooms = Vec::new(); // most connections join once and stay
        }
    }

    /// Holds an event; false if it is dropped. Where space is short, messages are dropped first: they are in the log. Then
    /// droppable events. Joins and leaves of users are nowhere else, so they are held as long as they fit; of those that do not,
    /// the newest tells the most.
    fn hold(&mut self, room: &RoomName, event: &Arc<OutgoingEvent>) -> bool {
        if *event.delivery_policy() == DeliveryPolicy::IfItFits && !self.fits(event) {
            self.dropped += 1;
            return false;
        }
        if !self.fits(event) {
            let first = self.held.iter().find_map(|(_, held)| held.offset());
            if let Some(first) = first.or(event.offset()) {
                self.fall_behind(first);
            }
            if event.offset().is_some() {
                return false;
            }
        }
        let held = self.held.len();
        if !self.fits(event) {
            self.retain(|_, held| matches!(held.delivery_policy(), DeliveryPolicy::Always));
            if !matches!(event.delivery_policy(), DeliveryPolicy::Always) {
                self.dropped += (held - self.held.len()) as u64 + 1;
                return false;
            }
        }
        if !self.fits(event) {
            self.retain(|_, _| false);
        }
        self.dropped += (held - self.held.len()) as u64;
        self.bytes += event.cost();
        self.held.push_back((room.clone(), event.clone()));
        true
    }

    /// Drops the held messages: those from `first` on are to be read from the log.
    fn fall_behind(&mut self, first: Offset) {
        self.behind = Some(before(first));
        self.retain(|_, held| held.offset().is_none());
    }

    fn fits(&self, event: &OutgoingEvent) -> bool {
        self.held.len() < MAX_HELD_EVENTS && self.bytes + event.cost() <= MAX_HELD_BYTES
    }

    fn pop(&mut self) -> Option<(RoomName, Arc<OutgoingEvent>)> {
        let (room, event) = self.held.pop_front()?;
        self.bytes -= event.cost();
        Some((room, event))
    }

    fn retain(&mut self, keep: impl Fn(&RoomName, &OutgoingEvent) -> bool) {
        self.held.retain(|(room, event)| keep(room, event));
        self.bytes = self.held.iter().map(|(_, event)| event.cost()).sum();
    }
}

/// The offset before a message: messages with lower offsets have been pushed, or were not for this connection.
fn before(offset: Offset) -> Offset {
    Offset(offset.0 - 1)
}

#[cfg(test)]
mod tests;
