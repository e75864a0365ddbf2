//! Log-ins of operators with `auth.admin_key`, to the dashboard and to Socket.IO's Admin UI: wrong keys are limited by address.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    auth::Authority,
    error::{Code, Error, Limit, Result},
    limits::{Buckets, Holder, Rate},
    model::Timestamp,
};

/// Where operators log in.
pub(crate) struct LogIns {
    /// What each address has left of its rate of wrong keys.
    wrong_keys: Buckets<Holder>,
}

impl LogIns {
    /// No log-ins so far; an address may present `per_minute` wrong keys a minute.
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            wrong_keys: Buckets::new(Rate::per(Duration::from_secs(60), per_minute)),
        }
    }

    /// Opens a session for the key of operators, and returns its token. `page` is where the operator logs in, for the log.
    ///
    /// # Errors
    /// `forbidden` if there is no such key, `unauthorized` if this is another one, `rate_limited` if too many others came from this
    /// address.
    pub(crate) fn log_in(
        &self,
        authority: &Authority,
        address: IpAddr,
        (key, page): (&str, &str),
    ) -> Result<String> {
        let Some(admin) = authority.admin() else {
            return Err(Error::forbidden("there is no auth.admin_key"));
        };
        let (holder, now) = (Holder::address(address), Instant::now());
        // Looked at before the key is: beyond the rate, nobody learns whether a key was right.
        let wait = self.wrong_keys.wait(&holder, now);
        if !wait.is_zero() {
            let message = "too many log-ins with a wrong key from this address";
            return Err(Error::new(Code::RateLimited, message)
                .for_limit(Limit::LoginsPerMinute)
                .retry_after(wait));
        }
        if !admin.is_key(key) {
            self.wrong_keys.remove_full_amortized(now);
            // Of several at the same moment, all but the last permitted ones exceed the rate by themselves.
            let _ = self.wrong_keys.take(&holder, now);
            tracing::warn!(%address, page, "a log-in of an operator failed: wrong key");
            return Err(Error::unauthorized("this is not the key of auth.admin_key"));
        }
        tracing::info!(%address, page, "an operator logged in");
        Ok(admin.open_session(Timestamp::now()))
    }
}
