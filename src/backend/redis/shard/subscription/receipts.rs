//! Which receipts wait for the delivery of their message, and when they are settled. No I/O.
//!
//! A receipt is settled once the hub has its message. It is settled earlier where that would take long: the message is
//! stored, and its sender should not wait for another shard.

use std::collections::{HashMap, VecDeque};

use crate::{backend::redis::shard::command::PendingReceipt, model::Offset};

pub(super) struct ReceiptTracker {
    /// Receipts of messages that were not delivered yet, by channel, in the order of offsets.
    undelivered: HashMap<String, VecDeque<PendingReceipt>>,
    /// Receipts of messages that the merger holds, in the order of offsets.
    merging: VecDeque<PendingReceipt>,
    /// There is no merger: what was delivered is with the hub.
    direct: bool,
    /// The merger waits for another shard for longer than a sender should.
    stalled: bool,
    /// The first of `merging` at the last tick.
    head_at_tick: Option<Offset>,
}

impl ReceiptTracker {
    pub(super) fn new(direct: bool) -> Self {
        Self {
            undelivered: HashMap::new(),
            merging: VecDeque::new(),
            direct,
            stalled: false,
            head_at_tick: None,
        }
    }

    /// A message was stored. `delivered` is how far its room was delivered, `None` if the room is not followed;
    /// `forwarded` is how far the merger has forwarded the shard.
    pub(super) fn add(
        &mut self,
        channel: &str,
        receipt: PendingReceipt,
        delivered: Option<Offset>,
        forwarded: Offset,
    ) {
        match delivered {
            None => receipt.settle(),
            Some(delivered) if receipt.offset > delivered => {
                if !self.undelivered.contains_key(channel) {
                    self.undelivered.insert(channel.to_owned(), VecDeque::new());
                }
                if let Some(queue) = self.undelivered.get_mut(channel) {
                    queue.push_back(receipt);
                }
            }
            Some(_) => {
                let at = self
                    .merging
                    .partition_point(|other| other.offset < receipt.offset);
                self.merging.insert(at, receipt);
                self.forwarded(forwarded);
            }
        }
    }

    /// A room was delivered up to `offset`.
    pub(super) fn delivered(&mut self, channel: &str, offset: Offset) {
        for receipt in self.take_up_to(channel, offset) {
            self.merging.push_back(receipt);
        }
    }

    /// The merger has forwarded the shard up to `offset`.
    pub(super) fn forwarded(&mut self, offset: Offset) {
        let all = self.direct || self.stalled;
        while let Some(receipt) =
            (self.merging).pop_front_if(|receipt| all || receipt.offset <= offset)
        {
            receipt.settle();
        }
    }

    /// The merger has forwarded something: it is not stalled any more.
    pub(super) fn resume(&mut self, forwarded: Offset) {
        self.stalled = false;
        self.forwarded(forwarded);
    }

    /// To be called regularly. If the first receipt has not moved since the last tick, or the output is full, the shard
    /// counts as stalled and everything is settled.
    pub(super) fn tick(&mut self, output_full: bool) {
        let head = self.merging.front().map(|receipt| receipt.offset);
        self.stalled |= head.is_some() && head == self.head_at_tick || output_full;
        self.head_at_tick = head;
        if self.stalled {
            self.settle_all();
        }
    }

    /// The messages of a room up to `offset` will not be delivered: the log no longer has them.
    pub(super) fn skipped(&mut self, channel: &str, offset: Offset) {
        self.take_up_to(channel, offset)
            .into_iter()
            .for_each(PendingReceipt::settle);
    }

    /// A room is not followed any more.
    pub(super) fn unfollowed(&mut self, channel: &str) {
        let queue = self.undelivered.remove(channel);
        queue.into_iter().flatten().for_each(PendingReceipt::settle);
    }

    pub(super) fn settle_all(&mut self) {
        self.merging.drain(..).for_each(PendingReceipt::settle);
        self.undelivered
            .drain()
            .flat_map(|(_, queue)| queue)
            .for_each(PendingReceipt::settle);
    }

    fn take_up_to(&mut self, channel: &str, offset: Offset) -> Vec<PendingReceipt> {
        let Some(queue) = self.undelivered.get_mut(channel) else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        while let Some(receipt) = queue.pop_front_if(|receipt| receipt.offset <= offset) {
            taken.push(receipt);
        }
        if queue.is_empty() {
            self.undelivered.remove(channel);
        }
        taken
    }
}

#[cfg(test)]
mod tests;
