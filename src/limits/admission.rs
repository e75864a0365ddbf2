//! Connections: how many this node and each address may hold, and how many handshakes may be under way.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Counts, Holder, Place, Pool, Reservation};
use crate::error::Limit;

/// How many connections this node and each address hold.
#[derive(Debug)]
pub struct Admission {
    all: Arc<Counts<()>>,
    addresses: Arc<Counts<IpAddr>>,
    most: usize,
    most_per_address: usize,
    handshakes: Arc<Pool>,
}

/// A place for one connection, given back when dropped. Until [`established`](Self::established) it counts as a handshake that
/// is under way, too.
#[derive(Debug)]
pub struct Admitted {
    _all: Place<()>,
    _address: Option<Place<IpAddr>>,
    handshake: Mutex<Option<Reservation>>,
}

impl Admitted {
    /// The client is known and connected: its handshake is over.
    pub fn established(&self) {
        let mut handshake = self
            .handshake
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        drop(handshake.take());
    }
}

impl Admission {
    /// At most `most` connections in all, `most_per_address` of one address and `handshakes` that are under way; 0 is no limit.
    pub fn new(most: usize, most_per_address: usize, handshakes: usize) -> Self {
        Self {
            all: Arc::default(),
            addresses: Arc::default(),
            most,
            most_per_address,
            handshakes: Pool::new(handshakes),
        }
    }

    /// The handshakes that are under way.
    pub fn handshakes(&self) -> &Arc<Pool> {
        &self.handshakes
    }

    /// Takes a place, or names the limit that was reached. Loopback addresses are counted only in all: behind a
    /// proxy on the same host everybody comes from there. The handshake is `holder`'s.
    pub fn admit(&self, address: IpAddr, holder: Holder) -> Result<Admitted, Limit> {
        let handshake = self
            .handshakes
            .take(holder, 1)
            .map_err(|_| Limit::Handshakes)?;
        let all = self.all.take((), self.most).ok_or(Limit::Connections)?;
        let address = if address.to_canonical().is_loopback() {
            None
        } else {
            Some(
                self.addresses
                    .take(network(address), self.most_per_address)
                    .ok_or(Limit::ConnectionsPerIp)?,
            )
        };
        Ok(Admitted {
            _all: all,
            _address: address,
            handshake: Mutex::new(Some(handshake)),
        })
    }
}

/// One subscriber of IPv6 commonly holds a whole /64, so that is what counts as an address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let bits = v6.to_bits() & (u128::MAX << 64);
            IpAddr::V6(bits.into())
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
