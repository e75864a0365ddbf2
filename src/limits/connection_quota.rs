//! How many connections the node and each address may have, and how many handshakes may be in progress.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use super::{
    address_group::address_group,
    keyed_counter::{KeyedCounter, Permit},
    pool::{Holder, Pool, Reservation},
};
use crate::{error::Limit, sync::lock};

/// Limits the connections of the node and of each address.
#[derive(Debug)]
pub struct ConnectionQuota {
    all: Arc<KeyedCounter<()>>,
    addresses: Arc<KeyedCounter<IpAddr>>,
    max: usize,
    max_per_address: usize,
    handshakes: Arc<Pool>,
}

/// The right to one connection, released on drop. Until [`complete_handshake`](Self::complete_handshake) it also counts as a
/// handshake in progress.
#[derive(Debug)]
pub struct ConnectionPermit {
    _all: Permit<()>,
    _address: Option<Permit<IpAddr>>,
    handshake: Mutex<Option<Box<Reservation>>>,
}

impl ConnectionPermit {
    /// The client is identified and connected: its handshake is over.
    pub fn complete_handshake(&self) {
        drop(lock(&self.handshake).take());
    }
}

impl ConnectionQuota {
    /// Allows `max` connections in all, `max_per_address` from one address, and `handshakes` in progress; 0 is unlimited.
    pub fn new(max: usize, max_per_address: usize, handshakes: usize) -> Self {
        Self {
            all: Arc::default(),
            addresses: Arc::default(),
            max,
            max_per_address,
            handshakes: Pool::new(handshakes),
        }
    }

    /// The handshakes in progress.
    pub fn handshakes(&self) -> &Arc<Pool> {
        &self.handshakes
    }

    /// Acquires a permit for a connection from `address`; its handshake is charged to `holder`. Loopback addresses count
    /// towards the total only: behind a proxy on the same host, every client has one.
    ///
    /// # Errors
    /// The limit that was reached.
    pub fn admit(&self, address: IpAddr, holder: Holder) -> Result<ConnectionPermit, Limit> {
        let handshake = self
            .handshakes
            .take(holder, 1)
            .map_err(|_| Limit::Handshakes)?;
        let all = self.all.take((), self.max).ok_or(Limit::Connections)?;
        let address = if address.to_canonical().is_loopback() {
            None
        } else {
            Some(
                self.addresses
                    .take(address_group(address), self.max_per_address)
                    .ok_or(Limit::ConnectionsPerIp)?,
            )
        };
        Ok(ConnectionPermit {
            _all: all,
            _address: address,
            handshake: Mutex::new(Some(handshake.into())),
        })
    }
}

#[cfg(test)]
mod tests;
