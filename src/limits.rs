//! Limits: rates, counts, and pools with fair shares.
//!
//! Everything here counts, or is given the time; nothing waits. The names and sizes of limits belong to the configuration,
//! and the error code to whoever applies the limit.

mod account;
mod address_group;
mod charge;
mod connection_quota;
mod keyed_counter;
mod nesting;
mod pool;
mod rate;

/// Bytes of the state that an application keeps with a connection, as JSON.
pub const STATE_BYTES: usize = 8 << 10;

pub use account::Account;
pub use address_group::address_group;
pub use charge::Charge;
pub use connection_quota::{ConnectionPermit, ConnectionQuota};
pub use keyed_counter::{KeyedCounter, Permit};
pub use nesting::exceeds_depth;
pub use pool::{Exhausted, Holder, Pool, Reservation, SHARES};
pub use rate::{Bucket, Buckets, Rate};
