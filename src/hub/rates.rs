//! Rates: how fast connections and users may send messages and join rooms.
//!
//! Each connection has buckets of its own, and each user one over all its connections and requests. A request takes its
//! permits before it is carried out; what it turns out to cost besides is charged afterwards, so that the next one waits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Caller, ConnectionRates, LimitSettings, RequestCost, StatelessCaller, limiter::rate_exceeded,
    rooms::fan_out::FanOutBudget,
};
use crate::{
    error::{Limit, Result},
    limits::{Buckets, Rate},
    model::{Message, UserId},
};

/// Bytes of messages that are read for one permit.
const BYTES_PER_PERMIT: usize = 64 << 10;
/// What a message costs besides its data: its names and numbers.
const MESSAGE_OVERHEAD: usize = 200;

/// The rates of all connections and users of this node.
pub(super) struct RateLimiter {
    /// Messages of one connection.
    messages: Rate,
    /// Messages of a user over all transports.
    user_messages: Buckets<UserId>,
    /// Joins of one connection.
    joins: Rate,
    /// Joins of a user's requests that come without a connection: together they have the rate of one.
    connectionless_joins: Buckets<UserId>,
    /// Joins of a user over all transports.
    user_joins: Buckets<UserId>,
    /// Notices about a user that are delivered to others.
    fan_out: Arc<FanOutBudget>,
}

impl RateLimiter {
    pub(super) fn new(limits: &LimitSettings, fan_out: Arc<FanOutBudget>) -> Self {
        let user_messages = Rate::new(limits.user_messages_per_second, limits.user_messages_burst);
        let joins = Rate::new(limits.joins_per_second, limits.joins_burst);
        let user_joins = Rate::new(limits.user_joins_per_second, limits.user_joins_burst);
        Self {
            messages: Rate::new(limits.messages_per_second, limits.messages_burst),
            user_messages: Buckets::new(user_messages),
            joins,
            connectionless_joins: Buckets::new(joins),
            user_joins: Buckets::new(user_joins),
            fan_out,
        }
    }

    /// Takes the next permits for a request of this cost and returns how long to wait until they may be used.
    ///
    /// # Errors
    /// `rate_limited` if that is longer than `max_wait`.
    pub(super) fn reserve(
        &self,
        caller: &impl Caller,
        cost: RequestCost,
        now: Instant,
        max_wait: Duration,
    ) -> Result<Duration> {
        if cost == RequestCost::Join {
            return self.reserve_joins(caller, 1, now, max_wait);
        }
        let share = |rate: Rate| match cost {
            RequestCost::Event => rate.at_half_cost(),
            _ => rate,
        };
        let mut wait = Duration::ZERO;
        if let Some(connection) = caller.connection() {
            let bucket = &mut connection.rates().messages;
            wait = bucket
                .reserve(share(self.messages), now, max_wait)
                .map_err(|wait| rate_exceeded(Limit::MessagesPerSecond, wait))?;
        }
        let Some(principal) = caller.identity() else {
            return Ok(wait);
        };
        let users = &self.user_messages;
        let for_user = users
            .reserve(&principal.user, share(users.rate()), now, max_wait)
            .map_err(|wait| rate_exceeded(Limit::UserMessagesPerSecond, wait))?;
        Ok(wait.max(for_user))
    }

    /// As [`reserve`](Self::reserve), for joining or reading so many rooms. Requests of a user without a connection share one
    /// bucket, as if they came by one connection.
    pub(super) fn reserve_joins(
        &self,
        caller: &impl Caller,
        rooms: u32,
        now: Instant,
        max_wait: Duration,
    ) -> Result<Duration> {
        let Some(principal) = caller.identity() else {
            return Ok(Duration::ZERO);
        };
        let own = match caller.connection() {
            Some(connection) => {
                let bucket = &mut connection.rates().joins;
                bucket.reserve_many(self.joins, rooms, now, max_wait)
            }
            None => (self.connectionless_joins).reserve_many(&principal.user, rooms, now, max_wait),
        };
        let wait = own.map_err(|wait| rate_exceeded(Limit::JoinsPerSecond, wait))?;
        let for_user = self.reserve_user_joins(caller, rooms, now, max_wait)?;
        Ok(wait.max(for_user))
    }

    /// As [`reserve_joins`](Self::reserve_joins), of the user's rate alone.
    pub(super) fn reserve_user_joins(
        &self,
        caller: &impl Caller,
        rooms: u32,
        now: Instant,
        max_wait: Duration,
    ) -> Result<Duration> {
        let Some(principal) = caller.identity() else {
            return Ok(Duration::ZERO);
        };
        self.user_joins
            .reserve_many(&principal.user, rooms, now, max_wait)
            .map_err(|wait| rate_exceeded(Limit::UserJoinsPerSecond, wait))
    }

    /// Takes a message permit of a transport that connects once more, and returns how long to wait until it may be used.
    pub(super) fn reserve_connect(&self, rates: &ConnectionRates, now: Instant) -> Duration {
        let mut rates = rates.lock();
        let reserved = rates.messages.reserve(self.messages, now, Duration::MAX);
        reserved.unwrap_or_default()
    }

    /// Charges the caller for what its request turned out to cost besides the permit that it took at first. The request
    /// succeeds all the same; the next one waits, or is refused, until the permits have come back.
    pub(super) fn charge(&self, caller: &impl Caller, permits: usize, now: Instant) {
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        if permits == 0 {
            return;
        }
        if let Some(connection) = caller.connection() {
            let mut rates = connection.rates();
            rates.messages.charge(self.messages, permits, now);
        }
        if let Some(principal) = caller.identity() {
            self.user_messages.charge(&principal.user, permits, now);
        }
    }

    /// Charges the caller for messages that it is sent in a reply: a permit for each 64 KiB, the first of which its request has
    /// paid for.
    pub(super) fn charge_messages(
        &self,
        caller: &impl Caller,
        messages: &[Arc<Message>],
        now: Instant,
    ) {
        let bytes = messages.iter().map(|message| message.data.get().len());
        let bytes = bytes.sum::<usize>() + messages.len() * MESSAGE_OVERHEAD;
        Self::charge(self, caller, bytes / BYTES_PER_PERMIT, now);
    }

    /// Charges a user without a connection, whose request has been carried out already, for reading a room.
    pub(super) fn charge_non_member(&self, caller: &StatelessCaller, now: Instant) {
        if let Some(principal) = caller.identity() {
            let user = &principal.user;
            self.connectionless_joins.charge(user, 1, now);
            self.user_joins.charge(user, 1, now);
        }
    }

    /// Drops buckets that are full again: of users who have not sent anything lately.
    pub(super) fn drop_full_buckets(&self, now: Instant) {
        for buckets in [
            &self.user_messages,
            &self.connectionless_joins,
            &self.user_joins,
        ] {
            buckets.remove_full(now);
        }
        self.fan_out.sweep(now);
    }
}

#[cfg(test)]
mod tests;
