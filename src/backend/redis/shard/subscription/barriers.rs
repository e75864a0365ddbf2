//! Barriers: numbered messages on the node's own channel of a shard. When one comes back, everything that was published in
//! the shard before it has arrived. No I/O.

use std::collections::VecDeque;

use tokio::sync::oneshot::Sender;

use crate::model::Offset;

#[derive(Default)]
pub(super) struct Barriers {
    /// The number of the last barrier that was published.
    last: u64,
    /// Callers that wait for a barrier, and its number.
    waiting: VecDeque<(u64, Sender<()>)>,
    /// Callers that wait until the subscription has ended, which it does at barrier `close_at`.
    closing: Vec<Sender<()>>,
    close_at: u64,
}

impl Barriers {
    /// The number of a barrier that is about to be published.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The number of the last barrier.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Has `reached` delivered behind the next barrier.
    pub(super) fn add(&mut self, reached: Sender<()>) {
        self.waiting.push_back((self.last + 1, reached));
    }

    /// Ends the subscription at the next barrier.
    pub(super) fn close(&mut self, closed: Sender<()>) {
        self.closing.push(closed);
        self.close_at = self.last + 1;
    }

    /// Ends the subscription at once.
    pub(super) fn close_now(&mut self, closed: Sender<()>) {
        self.closing.push(closed);
    }

    pub(super) fn is_closing(&self) -> bool {
        !self.closing.is_empty()
    }

    /// Whether the subscription ends at the barrier of this number.
    pub(super) fn closes_at(&self, number: u64) -> bool {
        self.is_closing() && number >= self.close_at
    }

    /// The next caller that waits for a barrier up to this number.
    pub(super) fn pop_reached(&mut self, number: u64) -> Option<Sender<()>> {
        let reached = self.waiting.pop_front_if(|(at, _)| *at <= number);
        reached.map(|(_, reached)| reached)
    }

    pub(super) fn drain_waiting(&mut self) -> Vec<Sender<()>> {
        let waiting = self.waiting.drain(..);
        waiting.map(|(_, reached)| reached).collect()
    }

    pub(super) fn drain_closing(&mut self) -> Vec<Sender<()>> {
        std::mem::take(&mut self.closing)
    }
}

/// Reads a barrier: its number, and the shard's offset when it was published.
pub(super) fn parse_barrier(payload: &[u8]) -> Option<(u64, Offset)> {
    let (number, offset) = std::str::from_utf8(payload).ok()?.split_once(' ')?;
    Some((number.parse().ok()?, Offset(offset.parse().ok()?)))
}

#[cfg(test)]
mod tests;
