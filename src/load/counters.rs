//! What a thread's clients count while the load runs: written by that thread alone, read by the conductor.

use std::sync::atomic::{AtomicU64, Ordering};

/// Defines the counters, and their values at one moment.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A thread's counters.
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $($(#[$doc])* pub(super) $name: Count,)*
        }

        /// Counters at one moment, those of all threads together.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Totals {
            $($(#[$doc])* pub(crate) $name: u64,)*
        }

        impl Totals {
            /// Adds those of a thread.
            pub(super) fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.get();)*
            }

            /// What has been counted since `earlier`.
            pub(crate) fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name.saturating_sub(earlier.$name),)* }
            }
        }
    };
}

counters! {
    /// Connections that have joined for the first time.
    joined,
    /// Joined connections that are there now, counted up ...
    came,
    /// ... and down.
    went,
    /// Attempts to connect and join that failed.
    failed_connects,
    /// Connections that were dropped on purpose.
    cut,
    /// Connections that ended otherwise.
    dropped,
    /// Connections that came back and missed nothing by the server's word.
    recovered,
    /// Connections that came back and had to start anew.
    started_anew,
    /// Messages written for the first time.
    sent,
    /// Messages written again, because their acks were lost with a connection.
    sent_again,
    /// Messages acknowledged.
    acked,
    /// Messages that the server refused.
    refused,
    /// Messages received by clients, once each.
    deliveries,
    /// Of these, those of clients that were there from the start.
    expected_deliveries,
    /// Messages received again.
    repeats,
    /// Messages received behind later ones.
    disorder,
    /// Other packets: presence, messages of others.
    other_packets,
    /// Bytes read.
    bytes,
}

impl Totals {
    /// Connections that are joined.
    pub(crate) fn connected(&self) -> u64 {
        self.came.saturating_sub(self.went)
    }
}

/// A counter with one writer.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn inc(&self) {
        self.add(1);
    }

    /// Adds, with plain loads and stores: only one thread writes.
    pub(super) fn add(&self, more: u64) {
        let value = self.0.load(Ordering::Relaxed);
        self.0.store(value + more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
