//! Pools: a bounded number of units (bytes, waiting polls, handshakes under way) that a node has for all its clients, shared
//! fairly.
//!
//! Half of a pool is there for everybody. Once that is used, only a holder that has less than a share of the pool gets more of it. So one
//! client that takes what it can leaves the rest at least half of the pool, and a server with few clients, or with one proxy in
//! front that hides their addresses, is hardly limited.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use super::admission::network;
use crate::{
    error::{Code, Error, Limit},
    model::UserId,
};

/// Holders that can use their whole share at the same time: a share is this part of a pool.
pub const SHARES: u32 = 16;

/// Who holds units of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A client that has not been identified, by its address; of IPv6 by its /64.
    Address(IpAddr),
    /// An identified client.
    User(UserId),
    /// A back end with an API key: trusted, so bound by the pool alone.
    Backend,
}

impl Holder {
    /// The client at an address that has not been identified.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(network(address))
    }
}

/// Why a pool gives nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// All of it is held.
    Pool,
    /// The holder has its share, and half of the pool is held.
    Share,
}

impl Exhausted {
    /// The error for a client when the node's memory budget, `limits.memory`, is exhausted.
    pub fn into_memory_error(self) -> Error {
        let message = match self {
            Exhausted::Pool => "this node holds as much as it may: limits.memory is reached",
            Exhausted::Share => {
                "this node holds as much for this client as it may: its share of limits.memory is reached"
            }
        };
        Error::new(Code::Unavailable, message)
            .for_limit(Limit::Memory)
            .retry_after(MEMORY_RETRY_DELAY)
    }
}

/// When a client should retry after the memory budget was exhausted.
const MEMORY_RETRY_DELAY: Duration = Duration::from_secs(1);

/// A number of units, shared by all clients of a node.
#[derive(Debug)]
pub struct Pool {
    /// Units in all; 0: no limit.
    most: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    by: HashMap<Holder, usize>,
}

impl Pool {
    /// `most` units; 0 is no limit.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: Mutex::default(),
        })
    }

    /// Takes units for a holder; they are given back when the reservation is dropped.
    ///
    /// # Errors
    /// What is exhausted; nothing is taken then.
    pub fn take(self: &Arc<Self>, holder: Holder, units: usize) -> Result<Reservation, Exhausted> {
        let mut reservation = Reservation {
            pool: self.clone(),
            holder,
            units: 0,
        };
        reservation.grow(units)?;
        Ok(reservation)
    }

    /// Units that are held, by all holders.
    pub fn used(&self) -> usize {
        self.held().total
    }

    /// Units in all; 0: no limit.
    pub fn size(&self) -> usize {
        self.most
    }

    /// What one holder can have for sure while others use the pool, too.
    pub fn share(&self) -> usize {
        self.most.div_ceil(SHARES as usize)
    }

    fn add(&self, holder: &Holder, units: usize) -> Result<(), Exhausted> {
        let mut held = self.held();
        let total = held.total.saturating_add(units);
        let own = held.by.get(holder).copied().unwrap_or_default();
        if self.most != 0 {
            if total > self.most {
                return Err(Exhausted::Pool);
            }
            let shared = *holder != Holder::Backend;
            if shared && total > self.most.div_ceil(2) && own.saturating_add(units) > self.share() {
                return Err(Exhausted::Share);
            }
        }
        held.total = total;
        held.by.insert(holder.clone(), own + units);
        Ok(())
    }

    fn give_back(&self, holder: &Holder, units: usize) {
        let mut held = self.held();
        held.total -= units;
        if let Some(own) = held.by.get_mut(holder) {
            *own -= units;
            if *own == 0 {
                held.by.remove(holder);
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Units of a [`Pool`], given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<Pool>,
    holder: Holder,
    units: usize,
}

impl Reservation {
    /// Takes more units.
    ///
    /// # Errors
    /// What is exhausted; the reservation stays as it was.
    pub fn grow(&mut self, units: usize) -> Result<(), Exhausted> {
        if units == 0 {
            return Ok(());
        }
        self.pool.add(&self.holder, units)?;
        self.units += units;
        Ok(())
    }

    /// Gives units back, those that it has at the most.
    pub fn shrink(&mut self, units: usize) {
        let units = units.min(self.units);
        if units > 0 {
            self.pool.give_back(&self.holder, units);
            self.units -= units;
        }
    }

    /// Gives units of it, those that it has at the most, a life of their own.
    #[must_use]
    pub fn split(&mut self, units: usize) -> Self {
        let units = units.min(self.units);
        self.units -= units;
        Self {
            pool: self.pool.clone(),
            holder: self.holder.clone(),
            units,
        }
    }

    /// The same bytes, which keep what is reserved for them until the last part of them is let go of.
    pub fn around(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Reserved {
            bytes,
            _reservation: self,
        })
    }

    /// Units that it has.
    pub fn units(&self) -> usize {
        self.units
    }
}

struct Reserved {
    bytes: Bytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Reserved {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.units);
    }
}

#[cfg(test)]
mod tests;
