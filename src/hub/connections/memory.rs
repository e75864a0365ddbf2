//! The node's budget of bytes in flight, `limits.memory`: what is held for a client until it has sent the rest, or taken its
//! answer. Doors and verbs reserve from it before they hold what can grow large.

use std::sync::Arc;

use crate::hub::{Caller, Hub, LimitSettings};
use crate::{
    error::{Error, Result},
    limits::{Charge, Exhausted, Holder, Pool, Reservation},
    telemetry::Metrics,
};

/// The budget, shown by the metrics.
pub(in crate::hub) fn memory_pool(limits: &LimitSettings, metrics: &Metrics) -> Arc<Pool> {
    let pool = Pool::new(limits.memory.bytes());
    let shown = pool.clone();
    let (held, size) = (metrics.memory_held.clone(), metrics.memory_size.clone());
    metrics.watch(move || {
        let gauge = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        held.set(gauge(shown.used()));
        size.set(gauge(shown.size()));
    });
    pool
}

/// What a client is told for whom nothing is left of the budget.
pub fn memory_exhausted(why: Exhausted) -> Error {
    why.into_memory_error()
}

impl Hub {
    /// Bytes in flight, of which everything that is held for clients and can grow large is reserved.
    pub fn memory(&self) -> &Arc<Pool> {
        &self.0.memory
    }

    /// Reserves bytes for what a caller asks for; they are given back when the reservation is dropped.
    ///
    /// # Errors
    /// `unavailable`, to be tried again soon.
    pub fn reserve_memory(&self, caller: &impl Caller, bytes: usize) -> Result<Reservation> {
        self.0
            .memory
            .take(holder(caller), bytes)
            .map_err(memory_exhausted)
    }

    /// What is held for a caller and grows, of which `free` bytes cost nothing.
    pub fn charge_memory(&self, caller: &impl Caller, free: usize) -> Charge {
        Charge::new(self.0.memory.clone(), holder(caller), free)
    }
}

fn holder(caller: &impl Caller) -> Holder {
    match caller.identity() {
        Some(principal) => Holder::User(principal.user.clone()),
        None => Holder::Backend,
    }
}
