//! Pools: a bounded number of units (bytes, waiting polls, handshakes in progress) that all clients of a node share fairly.
//!
//! Half of a pool is first come, first served. Once that is used, only holders below their share get more. So a greedy
//! client leaves at least half of the pool to others, and a server with few clients, or behind a proxy that hides their
//! addresses, is hardly limited.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;

use super::address_group::address_group;
use crate::{
    error::{Code, Error, Limit},
    model::UserId,
    sync::lock,
};

/// A share is the pool divided by this: the number of holders that can use their whole share at the same time.
pub const SHARES: u32 = 16;

/// The owner of units of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// An unidentified client, by its address; for IPv6 by its /64.
    Address(IpAddr),
    /// An identified client.
    User(UserId),
    /// A back end with an API key: trusted, so limited by the pool alone.
    Backend,
}

impl Holder {
    /// The unidentified client at `address`.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(address_group(address))
    }
}

/// Why a reservation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The whole pool is reserved.
    Pool,
    /// The holder has its share, and half of the pool is reserved.
    Share,
}

/// When a client should retry after the memory budget was exhausted.
const MEMORY_RETRY_DELAY: Duration = Duration::from_secs(1);

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

/// A number of units that all clients of a node share.
#[derive(Debug)]
pub struct Pool {
    /// Units in all; 0 is unlimited.
    size: usize,
    usage: Mutex<Usage>,
}

#[derive(Debug, Default)]
struct Usage {
    total: usize,
    by_holder: HashMap<Holder, usize>,
}

impl Pool {
    /// A pool of `size` units; 0 is unlimited.
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            size,
            usage: Mutex::default(),
        })
    }

    /// Reserves units for a holder, until the reservation is dropped.
    ///
    /// # Errors
    /// If the pool or the holder's share is exhausted; nothing is reserved then.
    pub fn take(self: &Arc<Self>, holder: Holder, units: usize) -> Result<Reservation, Exhausted> {
        let mut reservation = Reservation {
            pool: self.clone(),
            holder,
            units: 0,
        };
        reservation.grow(units)?;
        Ok(reservation)
    }

    /// Units that are reserved, by all holders.
    pub fn used(&self) -> usize {
        self.usage().total
    }

    /// Units in all; 0 is unlimited.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The units that a holder can count on while others use the pool.
    pub fn share(&self) -> usize {
        self.size.div_ceil(SHARES as usize)
    }

    fn add(&self, holder: &Holder, units: usize) -> Result<(), Exhausted> {
        let mut usage = self.usage();
        let total = usage.total.saturating_add(units);
        let own = usage.by_holder.get(holder).copied().unwrap_or_default();
        if self.size != 0 {
            if total > self.size {
                return Err(Exhausted::Pool);
            }
            let has_share = *holder != Holder::Backend;
            if has_share
                && total > self.size.div_ceil(2)
                && own.saturating_add(units) > self.share()
            {
                return Err(Exhausted::Share);
            }
        }
        usage.total = total;
        usage.by_holder.insert(holder.clone(), own + units);
        Ok(())
    }

    fn release(&self, holder: &Holder, units: usize) {
        let mut usage = self.usage();
        usage.total -= units;
        if let Some(own) = usage.by_holder.get_mut(holder) {
            *own -= units;
            if *own == 0 {
                usage.by_holder.remove(holder);
            }
        }
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        lock(&self.usage)
    }
}

/// Units of a [`Pool`], released on drop.
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<Pool>,
    holder: Holder,
    units: usize,
}

impl Reservation {
    /// Reserves more units.
    ///
    /// # Errors
    /// If the pool or the holder's share is exhausted; the reservation stays as it was.
    pub fn grow(&mut self, units: usize) -> Result<(), Exhausted> {
        if units == 0 {
            return Ok(());
        }
        self.pool.add(&self.holder, units)?;
        self.units += units;
        Ok(())
    }

    /// Releases units, at most all of them.
    pub fn shrink(&mut self, units: usize) {
        let units = units.min(self.units);
        if units > 0 {
            self.pool.release(&self.holder, units);
            self.units -= units;
        }
    }

    /// Splits units off, at most all of them, into a reservation of their own.
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

    /// Attaches the reservation to bytes: it is released when the last slice of them is dropped.
    pub fn attach_to(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(ReservedBytes {
            bytes,
            _reservation: self,
        })
    }

    /// The number of units.
    pub fn units(&self) -> usize {
        self.units
    }
}

struct ReservedBytes {
    bytes: Bytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for ReservedBytes {
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
