//! A budget for the replies to one connection's signals, which are held until they have been sent to it.
//!
//! A receiver does not know how much others reply. So each reply takes its bytes out of the budget first; a reply for which none
//! are left is dropped, and its receiver counts as one that did not reply.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes that replies may still take.
#[derive(Debug)]
pub(in crate::hub) struct ReplyBudget {
    left: AtomicUsize,
}

/// Bytes of one reply; given back on drop.
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

    /// Takes so many bytes; `None` if fewer are left.
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
