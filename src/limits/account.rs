//! What a connection holds is charged to somebody, who may become known only after it has begun.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Charge, Exhausted, Holder, Pool, Reservation};

/// Whom a connection's bytes are charged to, and of which pool.
#[derive(Debug)]
pub struct Account {
    pool: Arc<Pool>,
    holder: Mutex<Holder>,
}

impl Account {
    /// Charged to `holder` until it is known better.
    pub fn new(pool: Arc<Pool>, holder: Holder) -> Arc<Self> {
        Arc::new(Self {
            pool,
            holder: Mutex::new(holder),
        })
    }

    /// It is known whom it is to be charged to, from now on.
    pub fn charge_to(&self, holder: Holder) {
        *self.lock() = holder;
    }

    /// Whom it is charged to now.
    pub fn holder(&self) -> Holder {
        self.lock().clone()
    }

    /// For something that grows, of which `free` bytes cost nothing.
    pub fn charge(&self, free: usize) -> Charge {
        Charge::new(self.pool.clone(), self.holder(), free)
    }

    /// Reserves bytes.
    ///
    /// # Errors
    /// What is exhausted.
    pub fn take(&self, bytes: usize) -> Result<Reservation, Exhausted> {
        self.pool.take(self.holder(), bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Holder> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
