//! Rate buckets of one connection.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::{limits::Bucket, sync::lock};

/// Rate buckets of one connection. A transport shares them among its consecutive connections to a namespace: leaving and
/// entering it again does not refill them.
#[derive(Clone, Debug, Default)]
pub struct ConnectionRates(Arc<Mutex<RateBuckets>>);

#[derive(Debug, Default)]
pub(in crate::hub) struct RateBuckets {
    pub(in crate::hub) messages: Bucket,
    pub(in crate::hub) joins: Bucket,
}

impl ConnectionRates {
    pub(in crate::hub) fn lock(&self) -> MutexGuard<'_, RateBuckets> {
        lock(&self.0)
    }
}
