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
pub(super) struct ReplyBudget {
    left: AtomicUsize,
}

/// Bytes that were taken; given back when dropped.
#[derive(Debug)]
pub(super) struct HeldReply {
    budget: Arc<ReplyBudget>,
    bytes: usize,
}

impl ReplyBudget {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(bytes),
        })
    }

    /// Takes so many bytes, if they are left.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<HeldReply> {
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
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again_and_never_more_than_there_is() {
        let budget = ReplyBudget::new(10);
        let seven = budget.take(7).unwrap();
        assert!(budget.take(4).is_none());
        let three = budget.take(3).unwrap();
        assert!(budget.take(1).is_none());
        drop(seven);
        assert!(budget.take(7).is_some());
        drop(three);
        assert!(budget.take(10).is_some());
    }
}
