//! A client that sends: which message is due, and which are in flight.

use std::{collections::VecDeque, sync::atomic::Ordering};

use super::{
    marker::Marker,
    plan::{InFlight, Pace},
    shared::{Phase, Shared},
};
use crate::sync::lock;

/// The sending half of a client.
pub(super) struct Sender {
    /// Its number among all senders.
    number: usize,
    next: u32,
    in_flight: VecDeque<Flight>,
    /// How many of those in flight, from the oldest on, are to be written again.
    again: usize,
}

/// A message that was written and is not through.
#[derive(Clone, Copy)]
struct Flight {
    number: u32,
    due: u64,
    written: u64,
    acked: bool,
}

/// What to write next.
pub(super) struct Next {
    pub(super) marker: Marker,
    /// It was written before.
    pub(super) again: bool,
}

/// How long a message is waited for where nothing says that it got lost, in µs.
const PATIENCE: u64 = 5_000_000;

impl Sender {
    pub(super) fn new(number: usize) -> Self {
        Self {
            number,
            next: 0,
            in_flight: VecDeque::new(),
            again: 0,
        }
    }

    /// The next message to write now, if any. It is in flight from then on.
    pub(super) fn next(&mut self, shared: &Shared, now: u64) -> Option<Next> {
        if self.again > 0 {
            let at = self.in_flight.len().checked_sub(self.again)?;
            self.again -= 1;
            let flight = self.in_flight.get_mut(at)?;
            flight.written = now;
            let (number, due) = (flight.number, flight.due);
            return Some(Next {
                marker: self.marker(number, due),
                again: true,
            });
        }
        let slot = &shared.senders[self.number];
        let due = match shared.plan.pace {
            _ if shared.phase() != Phase::Sending => return None,
            Pace::Open { .. } if self.next >= slot.due.load(Ordering::Relaxed) => return None,
            Pace::Open { rate } => due_at(shared, self.number, self.next, rate),
            Pace::Closed { window, until } => {
                self.forget_delivered(shared, until, now);
                if self.in_flight.len() >= window {
                    return None;
                }
                now
            }
        };
        let number = self.next;
        self.next += 1;
        slot.expect(number, shared.receivers_of(self.number));
        slot.sent.store(self.next, Ordering::Release);
        self.in_flight.push_back(Flight {
            number,
            due,
            written: now,
            acked: false,
        });
        self.forget_old(shared, now);
        Some(Next {
            marker: self.marker(number, due),
            again: false,
        })
    }

    fn marker(&self, number: u32, due: u64) -> Marker {
        Marker {
            sender: self.number as u32,
            number,
            due,
        }
    }

    /// The message has an ack: when it was due, if it was in flight.
    pub(super) fn acked(&mut self, shared: &Shared, number: u32) -> Option<u64> {
        // Acks of one connection come in order: it is the first one or near it.
        let at = self
            .in_flight
            .iter()
            .position(|flight| flight.number == number)?;
        let flight = self.in_flight.get_mut(at)?;
        let (is_first, due) = (!flight.acked, flight.due);
        flight.acked = true;
        if shared.plan.window_until_delivered().is_none() {
            self.in_flight.remove(at);
        }
        is_first.then_some(due)
    }

    /// The server has refused the message: nobody receives it.
    pub(super) fn refused(&mut self, shared: &Shared, number: u32) {
        self.in_flight.retain(|flight| flight.number != number);
        lock(&shared.senders[self.number].in_doubt).push(number);
    }

    /// The connection is gone. What has no ack is written again behind it if it has an id, and is in doubt otherwise.
    pub(super) fn disconnected(&mut self, shared: &Shared) {
        if shared.plan.resends() {
            self.in_flight.retain(|flight| !flight.acked);
            self.again = self.in_flight.len();
        } else {
            let mut in_doubt = lock(&shared.senders[self.number].in_doubt);
            let unacked = self.in_flight.drain(..).filter(|flight| !flight.acked);
            in_doubt.extend(unacked.map(|flight| flight.number));
        }
    }

    /// The load is over: whatever has no ack is in doubt.
    pub(super) fn finish(&mut self, shared: &Shared) {
        let unacked = self.in_flight.iter().filter(|flight| !flight.acked);
        let numbers: Vec<_> = unacked.map(|flight| flight.number).collect();
        // Where nothing is acknowledged, a connection that is there has lost nothing.
        if shared.plan.acks() {
            lock(&shared.senders[self.number].in_doubt).extend(numbers);
        }
    }

    /// Messages that all members have received are not in flight any more.
    fn forget_delivered(&mut self, shared: &Shared, until: InFlight, now: u64) {
        if until == InFlight::Acked {
            return;
        }
        let slot = &shared.senders[self.number];
        while let Some(flight) = self.in_flight.front() {
            let is_through =
                (flight.acked || !shared.plan.acks()) && slot.is_delivered(flight.number);
            // A lost message must not end the load.
            if !is_through && now.saturating_sub(flight.written) < PATIENCE {
                return;
            }
            if !is_through && !flight.acked && shared.plan.acks() {
                lock(&slot.in_doubt).push(flight.number);
            }
            self.in_flight.pop_front();
        }
    }

    /// Without acks, what was written long ago has arrived or got lost.
    fn forget_old(&mut self, shared: &Shared, now: u64) {
        let is_old = |flight: &Flight| now.saturating_sub(flight.written) > PATIENCE;
        if !shared.plan.acks() && matches!(shared.plan.pace, Pace::Open { .. }) {
            while self.in_flight.front().is_some_and(is_old) {
                self.in_flight.pop_front();
            }
        }
    }
}

/// When a message is due where a rate is kept: the senders take turns.
fn due_at(shared: &Shared, sender: usize, number: u32, rate: f64) -> u64 {
    let turn = u64::from(number) * shared.plan.senders as u64 + sender as u64;
    shared.sending_since() + (turn as f64 * 1e6 / rate) as u64
}

#[cfg(test)]
mod tests;
