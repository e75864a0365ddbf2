//! The holder that a connection's memory is charged to, who may become known only after the connection has begun.

use std::sync::{Arc, Mutex, MutexGuard};

use super::{
    charge::Charge,
    pool::{Exhausted, Holder, Pool, Reservation},
};
use crate::sync::lock;

/// The pool and the holder that a connection's bytes are charged to.
#[derive(Debug)]
pub struct Account {
    pool: Arc<Pool>,
    holder: Mutex<Holder>,
}

impl Account {
    /// Charges `holder` until [`charge_to`](Self::charge_to) names another.
    pub fn new(pool: Arc<Pool>, holder: Holder) -> Arc<Self> {
        Arc::new(Self {
            pool,
            holder: Mutex::new(holder),
        })
    }

    /// Charges `holder` from now on.
    pub fn charge_to(&self, holder: Holder) {
        *self.lock() = holder;
    }

    /// The current holder.
    pub fn holder(&self) -> Holder {
        self.lock().clone()
    }

    /// Begins a charge for something that grows; its first `free` bytes are not charged.
    pub fn charge(&self, free: usize) -> Charge {
        Charge::new(self.pool.clone(), self.holder(), free)
    }

    /// Reserves bytes.
    ///
    /// # Errors
    /// If the pool or the holder's share is exhausted.
    pub fn take(&self, bytes: usize) -> Result<Reservation, Exhausted> {
        self.pool.take(self.holder(), bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Holder> {
        lock(&self.holder)
    }
}
