//! Rates of requests without a good token or key, by address.
//!
//! A token or key is still checked when its address has failed too often, as long as that is cheap: there may be many clients
//! behind one address, and a good one must not pay for the others. A signature that is expensive to verify is not checked any
//! more once too many wrong ones came from its address.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    error::{Code, Error, Limit, Result},
    limits::{Buckets, Holder, Rate},
};

/// What each address has left of its rate.
pub(super) struct AuthFailures {
    /// Requests without a good token or key.
    all: Buckets<Holder>,
    /// Signatures that were expensive to verify, and wrong.
    bad_signatures: Buckets<Holder>,
}

/// The shortest wait a client is told: less would round to 0 in `Retry-After`.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);

impl AuthFailures {
    /// No failures so far; `rate` is that of one address.
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            all: Buckets::new(rate),
            bad_signatures: Buckets::new(rate),
        }
    }

    /// Refuses an address that has sent too many wrong signatures.
    pub(super) fn check_bad_signatures(&self, address: IpAddr) -> Result<()> {
        match self
            .bad_signatures
            .wait(&Holder::address(address), Instant::now())
        {
            Duration::ZERO => Ok(()),
            wait => Err(too_many_failures(wait)),
        }
    }

    /// Records a wrong signature that was expensive to verify.
    pub(super) fn record_bad_signature(&self, address: IpAddr) {
        let now = Instant::now();
        self.bad_signatures.remove_full_amortized(now);
        // One that was verified at the same time as the last permitted one exceeds the rate, at no further cost.
        let _ = self.bad_signatures.take(&Holder::address(address), now);
    }

    /// Records a failure of an address. Returns why its request is refused: `error`, or that it has failed too often.
    pub(super) fn record(&self, address: IpAddr, error: Error) -> Error {
        let now = Instant::now();
        self.all.remove_full_amortized(now);
        match self.all.take(&Holder::address(address), now) {
            Ok(()) => error,
            Err(wait) => too_many_failures(wait),
        }
    }
}

fn too_many_failures(wait: Duration) -> Error {
    Error::new(
        Code::RateLimited,
        "too many requests without a good token or key came from this address; come back a little later",
    )
    .for_limit(Limit::AuthFailuresPerSecond)
    .retry_after(wait.max(MIN_RETRY_DELAY))
}

#[cfg(test)]
mod tests;
