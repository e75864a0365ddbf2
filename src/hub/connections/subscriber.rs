//! What one connection is given by its rooms: messages in the order of their offsets, whatever room they are of.
//!
//! A client that comes back names one offset, the last that it saw. So the messages that a connection was given have to
//! be, at every moment, all that it should have up to one offset, over all its rooms. The feed stands between rooms and
//! outlet and holds events back where pushing them at once would break that: while a room is joined (its past is not in
//! the answer yet), and while the log is read for what the connection has missed. What is held is bounded; past the
//! bound, or when the outlet is behind, messages are let go and the feed remembers from where on the log has to be read
//! (`catch_up`). It never awaits and knows no log.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::hub::{
    connections::EventSink,
    event::{Keep, Outgoing},
    lock,
};
use crate::model::{Offset, RoomName};

/// Held events of one connection: past either bound the log is read instead.
const HELD_EVENTS: usize = 1024;
const HELD_BYTES: usize = 1 << 20;

/// What a feed calls when it has let messages go: the log is to be read for them.
pub(in crate::hub) type Lost = Box<dyn Fn() + Send + Sync>;

/// Everything that rooms give to one connection goes through this.
pub(in crate::hub) struct Subscriber {
    outlet: Arc<dyn EventSink>,
    /// Nothing is held back: events go to the outlet without the lock. Set and cleared under the lock; whoever sees it
    /// set sees what was pushed before.
    live: AtomicBool,
    /// Messages up to this offset were given or are not to be.
    after: AtomicU64,
    state: Mutex<State>,
    lost: Lost,
}

#[derive(Default)]
struct State {
    /// Rooms that are being joined: their events are held, and whatever comes behind a held one.
    reading: Vec<RoomName>,
    /// The log is being read: everything is held.
    catching_up: bool,
    /// Messages were let go. Everything up to this offset was given, what is newer has to be read.
    behind: Option<Offset>,
    /// Nothing is given any more.
    over: bool,
    held: VecDeque<(RoomName, Arc<Outgoing>)>,
    bytes: usize,
    /// Events that are not kept, dropped and not counted yet.
    dropped: u64,
}

impl Subscriber {
    /// A feed that is live, for messages after `start`.
    pub(in crate::hub) fn live(outlet: Arc<dyn EventSink>, start: Offset, lost: Lost) -> Self {
        Self {
            outlet,
            live: AtomicBool::new(true),
            after: AtomicU64::new(start.0),
            state: Mutex::default(),
            lost,
        }
    }

    /// A feed of a connection that was given everything up to `given`: it has to catch up before it is live.
    pub(in crate::hub) fn behind(outlet: Arc<dyn EventSink>, given: Offset, lost: Lost) -> Self {
        let feed = Self::live(outlet, given, lost);
        feed.live.store(false, Ordering::Relaxed);
        lock(&feed.state).behind = Some(given);
        feed
    }

    pub(in crate::hub) fn outlet(&self) -> &Arc<dyn EventSink> {
        &self.outlet
    }

    /// Takes the next event of `room`; false if it will never be given by this feed.
    ///
    /// Messages have to come in the order of their offsets, from one task.
    pub(in crate::hub) fn push(&self, room: &RoomName, event: &Arc<Outgoing>) -> bool {
        let offset = event.offset();
        if self.live.load(Ordering::Acquire) {
            if self.is_old(offset) {
                return false;
            }
            if offset.is_none() || !self.outlet.is_behind() {
                self.outlet.push(event);
                return true;
            }
        }
        let (taken, lost, dropped) = {
            let mut state = lock(&self.state);
            let was_behind = state.behind.is_some();
            let taken = !state.over && !self.is_old(offset) && self.take(&mut state, room, event);
            self.note_live(&state);
            let lost = !was_behind && state.behind.is_some();
            (taken, lost, std::mem::take(&mut state.dropped))
        };
        if dropped > 0 {
            self.outlet.dropped(dropped);
        }
        if lost {
            (self.lost)();
        }
        taken
    }

    /// Holds, gives or lets go an event that did not pass at once.
    fn take(&self, state: &mut State, room: &RoomName, event: &Arc<Outgoing>) -> bool {
        let offset = event.offset();
        if state.behind.is_some() && offset.is_some() {
            return false;
        }
        let waits = state.catching_up || state.behind.is_some() || !state.held.is_empty();
        if waits || state.reading.contains(room) {
            return state.hold(room, event);
        }
        if let Some(offset) = offset
            && self.outlet.is_behind()
        {
            state.behind = Some(before(offset));
            return false;
        }
        self.outlet.push(event);
        true
    }

    /// A room is being joined: nothing of it is given until [`joined`](Self::joined) or [`leave`](Self::leave).
    pub(in crate::hub) fn begin_joining(&self, room: &RoomName) {
        let mut state = lock(&self.state);
        if !state.reading.contains(room) {
            state.reading.push(room.clone());
        }
        self.note_live(&state);
    }

    /// The answer to a join is out: of `room`, what is newer than `read` is given from now on.
    pub(in crate::hub) fn joined(&self, room: &RoomName, read: Offset) {
        let mut state = lock(&self.state);
        state.reading.retain(|reading| reading != room);
        state.retain(|of, event| of != room || event.offset().is_none_or(|offset| offset > read));
        self.release(&mut state);
    }

    /// The answer to a room's second join holds its messages from `first` to `last`: gives what is held up to there
    /// but not in the answer. All of it has to have been pushed. False if that cannot be, because messages were let go.
    pub(in crate::hub) fn give_before_answer(
        &self,
        room: &RoomName,
        first: Offset,
        last: Offset,
    ) -> bool {
        let mut state = lock(&self.state);
        if state.behind.is_some() {
            return false;
        }
        let up_to = |(_, event): &(RoomName, Arc<Outgoing>)| {
            event.offset().is_some_and(|offset| offset <= last)
        };
        let count = state.held.iter().rposition(up_to).map_or(0, |at| at + 1);
        for _ in 0..count {
            if let Some((of, event)) = state.pop() {
                let answered = event.offset().is_some_and(|offset| offset >= first);
                if of != *room || !answered {
                    self.outlet.push(&event);
                }
            }
        }
        true
    }

    /// Nothing of `room` is given any more.
    pub(in crate::hub) fn leave(&self, room: &RoomName) {
        let mut state = lock(&self.state);
        state.reading.retain(|reading| reading != room);
        state.retain(|of, _| of != room);
        self.release(&mut state);
    }

    /// Begins catching up, if messages were let go: answers the offset up to which everything was given. From now on
    /// everything is held, so read the log up to an end that is asked for after this.
    pub(in crate::hub) fn begin_catching_up(&self) -> Option<Offset> {
        let mut state = lock(&self.state);
        let given = state.behind.take()?;
        state.catching_up = true;
        Some(given)
    }

    /// Gives a message that was read; false if nothing is given any more.
    pub(in crate::hub) fn give(&self, event: &Outgoing) -> bool {
        let state = lock(&self.state);
        if !state.over {
            self.outlet.push(event);
        }
        !state.over
    }

    /// Everything up to `until` was given: releases what is held and newer. If messages were let go meanwhile, begin
    /// again.
    pub(in crate::hub) fn caught_up(&self, until: Offset) {
        let mut state = lock(&self.state);
        state.catching_up = false;
        self.after.store(until.0, Ordering::Relaxed);
        if let Some(behind) = &mut state.behind {
            *behind = until;
        } else {
            state.retain(|_, event| event.offset().is_none_or(|offset| offset > until));
            self.release(&mut state);
        }
    }

    /// Gives nothing any more.
    pub(in crate::hub) fn close(&self) {
        let mut state = lock(&self.state);
        *state = State {
            over: true,
            ..State::default()
        };
        self.note_live(&state);
    }

    /// Whether nothing is given any more.
    pub(in crate::hub) fn is_over(&self) -> bool {
        lock(&self.state).over
    }

    fn is_old(&self, offset: Option<Offset>) -> bool {
        offset.is_some_and(|offset| offset.0 <= self.after.load(Ordering::Relaxed))
    }

    /// Gives what is held, up to the first event of a room that is being joined.
    fn release(&self, state: &mut State) {
        if !state.catching_up && state.behind.is_none() {
            while let Some((room, _)) = state.held.front()
                && !state.reading.contains(room)
                && let Some((_, event)) = state.pop()
            {
                self.outlet.push(&event);
            }
        }
        self.note_live(state);
    }

    fn note_live(&self, state: &State) {
        self.live.store(state.is_live(), Ordering::Release);
    }
}

impl State {
    fn is_live(&self) -> bool {
        !self.over
            && !self.catching_up
            && self.behind.is_none()
            && self.reading.is_empty()
            && self.held.is_empty()
    }

    /// Holds an event; false if it is let go. Messages make place first, they are in the log. Nowhere else is who came
    /// or went, so that is held as far as it fits; of all that does not, the newest tells the most.
    fn hold(&mut self, room: &RoomName, event: &Arc<Outgoing>) -> bool {
        if !self.fits(event) {
            let first = self.held.iter().find_map(|(_, held)| held.offset());
            if let Some(first) = first.or(event.offset()) {
                self.behind = Some(before(first));
            }
            self.retain(|_, held| held.offset().is_none());
            if event.offset().is_some() {
                return false;
            }
        }
        let held = self.held.len();
        if !self.fits(event) {
            self.retain(|_, held| matches!(held.keep(), Keep::Always));
            if !matches!(event.keep(), Keep::Always) {
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

    fn fits(&self, event: &Outgoing) -> bool {
        self.held.len() < HELD_EVENTS && self.bytes + event.cost() <= HELD_BYTES
    }

    fn pop(&mut self) -> Option<(RoomName, Arc<Outgoing>)> {
        let (room, event) = self.held.pop_front()?;
        self.bytes -= event.cost();
        Some((room, event))
    }

    fn retain(&mut self, keep: impl Fn(&RoomName, &Outgoing) -> bool) {
        self.held.retain(|(room, event)| keep(room, event));
        self.bytes = self.held.iter().map(|(_, event)| event.cost()).sum();
    }
}

/// The place before a message: what had a lower offset was given, or came and was not for this connection.
fn before(offset: Offset) -> Offset {
    Offset(offset.0 - 1)
}

#[cfg(test)]
mod tests;
