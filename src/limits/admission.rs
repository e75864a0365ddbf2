//! Connections: how many this node and each address may hold.

use std::{net::IpAddr, sync::Arc};

use super::{Counts, Place};
use crate::error::Limit;

/// How many connections this node and each address hold.
#[derive(Debug)]
pub struct Admission {
    all: Arc<Counts<()>>,
    addresses: Arc<Counts<IpAddr>>,
    most: usize,
    most_per_address: usize,
}

/// A place for one connection, given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    _all: Place<()>,
    _address: Option<Place<IpAddr>>,
}

impl Admission {
    /// At most `most` connections in all and `most_per_address` of one address; 0 is no limit.
    pub fn new(most: usize, most_per_address: usize) -> Self {
        Self {
            all: Arc::default(),
            addresses: Arc::default(),
            most,
            most_per_address,
        }
    }

    /// Takes a place, or names the limit that was reached. Loopback addresses are counted only in all: behind a
    /// proxy on the same host everybody comes from there.
    pub fn admit(&self, address: IpAddr) -> Result<Admitted, Limit> {
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
        })
    }
}

/// One subscriber of IPv6 commonly holds a whole /64, so that is what counts as an address.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let bits = v6.to_bits() & (u128::MAX << 64);
            IpAddr::V6(bits.into())
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_by_network_and_loopback_only_in_all() {
        let admission = Admission::new(3, 1);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let same_network: IpAddr = "2001:db8::2".parse().unwrap();
        let held = admission.admit(one).unwrap();
        assert_eq!(
            admission.admit(same_network).unwrap_err(),
            Limit::ConnectionsPerIp
        );
        let local: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let _two = (
            admission.admit(local).unwrap(),
            admission.admit(local).unwrap(),
        );
        assert_eq!(admission.admit(local).unwrap_err(), Limit::Connections);
        drop(held);
        assert!(admission.admit(same_network).is_ok());
    }
}
