//! Permits that transports take before they carry out a request that does not come by an [`Executor`](super::Executor).

use std::time::{Duration, Instant};

use super::{Caller, PollRequest, StatelessCaller};
use crate::{
    error::Result,
    hub::{ConnectionRates, Hub},
};

/// Which rates a request takes a permit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestCost {
    /// A message's; every request that is nothing else takes this.
    Message,
    /// Half of a message's, for an event that is not stored: a pointer that moves sixty times a second is no flood.
    Event,
    /// A join's, also for reading a room that the caller is not in: joins have a rate of their own.
    Join,
}

impl Hub {
    /// Takes a permit to send a message at once: of the connection's rate if there is a connection, and of its user's, which
    /// counts over all transports.
    ///
    /// # Errors
    /// `rate_limited` if there is none.
    pub(crate) fn take_message_permit(&self, caller: &impl Caller, now: Instant) -> Result<()> {
        let cost = RequestCost::Message;
        let reserved = self.rates().reserve(caller, cost, now, Duration::ZERO);
        reserved.map(|_| ())
    }

    /// Takes a permit to read a room that the caller is not in, at once: that costs what joining it would.
    ///
    /// # Errors
    /// `rate_limited` if there is none.
    pub(crate) fn take_non_member_permit(&self, caller: &impl Caller, now: Instant) -> Result<()> {
        let reserved = self.rates().reserve_joins(caller, 1, now, Duration::ZERO);
        reserved.map(|_| ())
    }

    /// Takes the permits for a poll: a message's, and without a position to continue from, a join's. A position that turns out
    /// to be none of the room's is charged afterwards, and keeps the user from polling until that is paid.
    ///
    /// # Errors
    /// `rate_limited` if they are not there.
    pub(crate) fn take_poll_permits(
        &self,
        caller: &StatelessCaller,
        poll: &PollRequest,
        now: Instant,
    ) -> Result<()> {
        self.take_message_permit(caller, now)?;
        let rooms = u32::from(poll.since.is_none());
        let rates = self.rates();
        let reserved = rates.reserve_joins(caller, rooms, now, Duration::ZERO);
        reserved.map(|_| ())
    }

    /// Waits until a transport that has connected before may do so once more: that takes a permit to send a message. A client
    /// could otherwise leave and enter a namespace again and again at no cost.
    pub(crate) async fn wait_connect_permit(&self, rates: &ConnectionRates) {
        let wait = self.rates().reserve_connect(rates, Instant::now());
        if !wait.is_zero() {
            self.metrics().held_back(wait);
            tokio::time::sleep(wait).await;
        }
    }
}
