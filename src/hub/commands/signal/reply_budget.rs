//! Bytes of answers to signals that are held for one asker until it has been sent them.
//!
//! Who answers does not know how much others answer. So an answer takes its bytes here first, and one for which none are left
//! is not kept: its receiver counts as one that did not answer.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What may be held.
#[derive(Debug)]
pub(in crate::hub) struct ReplyBudget {
    left: AtomicUsize,
}

/// Bytes that were taken; given back when dropped.
#[derive(Debug)]
pub(in crate::hub) struct HeldReply {
    budget: Arc<ReplyBudget>,
    bytes: usize,
}

impl ReplyBudget {
    pub(in crate::hub) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(bytes),
        })
    }

    /// Takes so many bytes, if they are left.
    pub(in crate::hub) fn take(self: &Arc<Self>, bytes: usize) -> Option<HeldReply> {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            });
        taken.ok().map(|_| HeldReply {
            budget: self.clone(),
            bytes,
        })
    }
}

impl Drop for HeldReply {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
