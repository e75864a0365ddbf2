//! Limits: rates, counts, and pools with fair shares.
//!
//! Everything here takes the time as an argument or counts; nothing waits. What a limit is called and how large it
//! is stands in the configuration; which code answers it is decided where it is applied.

mod account;
mod admission;
mod charge;
mod counts;
mod nesting;
mod pool;
mod rate;

pub use account::Account;
pub use admission::{Admission, Admitted, network};
pub use charge::Charge;
pub use counts::{Counts, Place};
pub use nesting::nests_deeper;
pub use pool::{Exhausted, Holder, Pool, Reservation, SHARES};
pub use rate::{Bucket, Buckets, Rate};
