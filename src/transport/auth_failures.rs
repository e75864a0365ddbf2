//! Requests that come without a good token or key: each address has a pace for them.
//!
//! A token or key is still looked at when its address has failed too often, as long as that costs next to nothing: behind one
//! address there may be many clients, and a good one among them is not to pay for the others. A signature that is dear to verify
//! is not once too many of those that came from its address were wrong.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    error::{Code, Error, Limit, Result},
    limits::{Buckets, Holder, Rate},
};

/// What each address has left of its pace.
pub(super) struct AuthFailures {
    /// For requests without a good token or key.
    all: Buckets<Holder>,
    /// For signatures that were dear to verify, and wrong.
    forged: Buckets<Holder>,
}

impl AuthFailures {
    /// None so far; `rate` is that of an address.
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            all: Buckets::new(rate),
            forged: Buckets::new(rate),
        }
    }

    /// Refuses an address that has sent too many wrong signatures.
    pub(super) fn check_forged(&self, address: IpAddr) -> Result<()> {
        match self.forged.wait(&Holder::address(address), Instant::now()) {
            Duration::ZERO => Ok(()),
            wait => Err(too_many(wait)),
        }
    }

    /// Notes that a signature was dear to verify, and wrong.
    pub(super) fn note_forged(&self, address: IpAddr) {
        let now = Instant::now();
        self.forged.sweep_in_turn(now);
        // One that is verified beside the last that was permitted is over the rate, and costs no more than that.
        let _ = self.forged.take(&Holder::address(address), now);
    }

    /// Notes that an address has failed, and says why its request is refused: for `error`, or because it has failed too often.
    pub(super) fn note(&self, address: IpAddr, error: Error) -> Error {
        let now = Instant::now();
        self.all.sweep_in_turn(now);
        match self.all.take(&Holder::address(address), now) {
            Ok(()) => error,
            Err(wait) => too_many(wait),
        }
    }
}

fn too_many(wait: Duration) -> Error {
    Error::new(
        Code::RateLimited,
        "too many requests without a good token or key came from this address; come back a little later",
    )
    .for_limit(Limit::AuthFailuresPerSecond)
    // Less than a second would be none in the header.
    .retry_after(wait.max(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests;
