//! Which addresses are one client for limits.

use std::net::IpAddr;

/// The address that stands for a client: an IPv6 subscriber commonly has a whole /64, so all of it counts as one.
pub fn address_group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let bits = v6.to_bits() & (u128::MAX << 64);
            IpAddr::V6(bits.into())
        }
        v4 => v4,
    }
}
