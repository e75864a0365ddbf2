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
};

use bytes::Bytes;

use super::admission::network;
use crate::model::UserId;

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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(name: &str) -> Holder {
        Holder::User(UserId::parse(name).unwrap())
    }

    #[test]
    fn one_holder_leaves_half_of_the_pool_to_others_and_each_of_those_gets_a_share() {
        let pool = Pool::new(160);
        let mut greedy = pool.take(user("greedy"), 80).unwrap();
        assert_eq!(greedy.grow(1), Err(Exhausted::Share));
        let others: Vec<_> = (0..8)
            .map(|other| pool.take(user(&format!("u{other}")), 10).unwrap())
            .collect();
        assert_eq!(
            pool.take(user("late"), 1).unwrap_err(),
            Exhausted::Pool,
            "nothing is left"
        );
        drop(others);
        assert_eq!(pool.used(), 80);
    }

    #[test]
    fn a_part_of_a_reservation_is_given_back_by_itself() {
        let pool = Pool::new(100);
        let mut whole = pool.take(user("a"), 50).unwrap();
        let part = whole.split(20);
        assert_eq!((whole.units(), part.units(), pool.used()), (30, 20, 50));
        drop(whole);
        assert_eq!(pool.used(), 20);
        drop(part);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn bytes_keep_what_is_reserved_for_them_until_their_last_part_is_gone() {
        let pool = Pool::new(100);
        let held = pool.take(user("a"), 5).unwrap();
        let bytes = held.around(Bytes::from_static(b"bytes"));
        let part = bytes.slice(1..3);
        drop(bytes);
        assert_eq!((&part[..], pool.used()), (&b"yt"[..], 5));
        drop(part);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn a_backend_is_bound_by_the_pool_alone() {
        let pool = Pool::new(100);
        let backend = pool.take(Holder::Backend, 100).unwrap();
        assert_eq!(pool.take(Holder::Backend, 1).unwrap_err(), Exhausted::Pool);
        drop(backend);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_holder() {
        let address = |text: &str| Holder::address(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::2"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }

    #[test]
    fn a_pool_of_size_zero_has_no_limit_and_counts() {
        let pool = Pool::new(0);
        let reservation = pool.take(user("a"), usize::MAX / 2).unwrap();
        assert_eq!(pool.used(), reservation.units());
    }

    proptest! {
        #[test]
        fn what_is_held_is_the_sum_of_all_reservations_and_never_more_than_the_pool(
            steps in proptest::collection::vec((0u8..5, 0usize..40, any::<bool>()), 1..100),
        ) {
            let pool = Pool::new(100);
            let mut reservations: Vec<Reservation> = Vec::new();
            for (holder, units, gives_back) in steps {
                if gives_back && let Some(mut reservation) = reservations.pop() {
                    reservation.shrink(units);
                    if units % 2 == 0 {
                        reservations.push(reservation);
                    }
                } else if let Ok(reservation) = pool.take(user(&holder.to_string()), units) {
                    reservations.push(reservation);
                }
                prop_assert_eq!(pool.used(), reservations.iter().map(Reservation::units).sum::<usize>());
                prop_assert!(pool.used() <= 100);
            }
            drop(reservations);
            prop_assert!(pool.held().by.is_empty());
        }
    }
}
