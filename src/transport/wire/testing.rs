//! An outbox that belongs to no session, for tests of the code that uses one.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Outbox, OutboxLimits, OutboxOwner};
use crate::hub::CloseReason;

pub(in crate::transport) const LIMITS: OutboxLimits = OutboxLimits {
    bytes: 1 << 20,
    stall: Duration::from_secs(10),
};

/// Never constructed: stands for a session that has ended.
enum EndedSession {}

impl OutboxOwner for EndedSession {
    fn close(&self, _: CloseReason) {
        match *self {}
    }
}

pub(in crate::transport) fn no_owner() -> Weak<dyn OutboxOwner> {
    Weak::<EndedSession>::new()
}

pub(in crate::transport) fn outbox() -> Arc<Outbox> {
    Outbox::new(LIMITS, Arc::default(), no_owner(), Arc::default())
}
