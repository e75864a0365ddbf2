//! Which updates of a document this node has seen: other nodes' may come in any order, or not at all.

use std::collections::BTreeSet;

/// The most numbers that are remembered ahead of one that is missing. Those beyond are taken for new when they are read again.
const MAX_AHEAD: usize = 10_000;

/// The numbers that were seen.
#[derive(Debug, Default)]
pub(super) struct SeenNumbers {
    /// All up to this one.
    contiguous: u64,
    /// Those behind a number that is missing.
    ahead: BTreeSet<u64>,
}

impl SeenNumbers {
    /// Records a number; false if it was seen before.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        if number <= self.contiguous || self.ahead.contains(&number) {
            return false;
        }
        if self.ahead.len() < MAX_AHEAD || number == self.contiguous + 1 {
            self.ahead.insert(number);
        }
        self.advance();
        true
    }

    /// Records that everything up to a number was seen, or need not be.
    pub(super) fn begin_at(&mut self, number: u64) {
        if number > self.contiguous {
            self.contiguous = number;
            self.ahead = self.ahead.split_off(&(number + 1));
            self.advance();
        }
    }

    /// The number up to which everything was seen.
    pub(super) fn contiguous(&self) -> u64 {
        self.contiguous
    }

    fn advance(&mut self) {
        while self.ahead.first() == Some(&(self.contiguous + 1)) {
            self.ahead.pop_first();
            self.contiguous += 1;
        }
    }
}

#[cfg(test)]
mod tests;
