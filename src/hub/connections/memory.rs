//! What is held in memory for clients: their send queues, and the node's budget, `limits.memory`: bytes that are held for clients until they have sent the rest or have taken a reply.
//! Transports and verbs reserve from it before they hold what can grow large.

use std::sync::Arc;

use crate::{
    error::Result,
    hub::{Caller, Hub, LimitSettings},
    limits::{Charge, Exhausted, Holder, Pool, Reservation},
    telemetry::Metrics,
};

/// The budget, with its metrics.
pub(in crate::hub) fn memory_pool(limits: &LimitSettings, metrics: &Metrics) -> Arc<Pool> {
    let pool = Pool::new(limits.memory.bytes());
    let watched = pool.clone();
    let (held, size) = (metrics.memory_held.clone(), metrics.memory_size.clone());
    metrics.on_scrape(move || {
        let gauge = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        held.set(gauge(watched.used()));
        size.set(gauge(watched.size()));
    });
    pool
}

impl Hub {
    /// Lets the metrics read what is queued for clients on each scrape.
    pub(in crate::hub) fn export_send_queues(&self) {
        let (hub, queued) = (self.downgrade(), self.metrics().send_queue.clone());
        self.metrics().on_scrape(move || {
            if let Some(hub) = hub.upgrade() {
                let bytes = hub.connection_table().queued_bytes();
                queued.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
        });
    }

    /// The node's memory budget. Everything that is held for clients and can grow large is reserved from it.
    pub(crate) fn memory(&self) -> &Arc<Pool> {
        self.limiter().memory()
    }

    /// Reserves bytes for a caller's request until the reservation is dropped.
    ///
    /// # Errors
    /// `unavailable`, to be retried soon.
    pub(crate) fn reserve_memory(&self, caller: &impl Caller, bytes: usize) -> Result<Reservation> {
        self.limiter()
            .memory()
            .take(memory_holder(caller), bytes)
            .map_err(Exhausted::into_memory_error)
    }

    /// A charge for something of a caller's that grows, of which `free` bytes are not charged.
    pub(crate) fn charge_memory(&self, caller: &impl Caller, free: usize) -> Charge {
        Charge::new(self.limiter().memory().clone(), memory_holder(caller), free)
    }
}

fn memory_holder(caller: &impl Caller) -> Holder {
    match caller.identity() {
        Some(principal) => Holder::User(principal.user.clone()),
        None => Holder::Backend,
    }
}
