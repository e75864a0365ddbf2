//! Who asks: a connection, or a request that comes without one. Every rule that both are under asks here.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::hub::{Connection, ConnectionRates, Hub, too_fast};
use crate::{
    auth::{Permission, Principal},
    error::{Limit, Result},
    limits::Rate,
    model::{Message, Namespace, RoomKey, RoomName, Sender},
};

/// Bytes of messages that are read for one permit.
const BYTES_A_PERMIT: usize = 64 << 10;
/// What a message costs besides its data: its names and numbers.
const MESSAGE_BYTES: usize = 200;

/// Whoever asks for something that needs no connection.
pub trait Caller: Send + Sync {
    /// The namespace whose rooms it means.
    fn namespace(&self) -> &Namespace;

    /// Who it speaks for; `None`: a back end of the operator's own, which may do everything, at any rate.
    fn identity(&self) -> Option<Arc<Principal>>;

    /// The connection it asks by, if there is one.
    fn connection(&self) -> Option<&Connection>;

    /// Whether it may do something in a room.
    fn may(&self, permission: Permission, room: &RoomName) -> bool {
        self.identity()
            .is_none_or(|principal| principal.may(permission, room))
    }

    /// Whom members see as the sender.
    fn sender(&self) -> Option<Sender> {
        self.identity().map(|principal| principal.sender())
    }

    /// A room's key in its namespace.
    fn key(&self, room: &RoomName) -> RoomKey {
        RoomKey {
            namespace: self.namespace().clone(),
            room: room.clone(),
        }
    }
}

impl Caller for Connection {
    fn namespace(&self) -> &Namespace {
        self.namespace()
    }

    fn identity(&self) -> Option<Arc<Principal>> {
        Some(self.principal())
    }

    fn connection(&self) -> Option<&Connection> {
        Some(self)
    }
}

impl<C: Caller> Caller for Arc<C> {
    fn namespace(&self) -> &Namespace {
        (**self).namespace()
    }

    fn identity(&self) -> Option<Arc<Principal>> {
        (**self).identity()
    }

    fn connection(&self) -> Option<&Connection> {
        (**self).connection()
    }
}

/// Somebody who asks once and is not connected.
#[derive(Clone, Debug)]
pub struct Visitor {
    namespace: Namespace,
    principal: Option<Arc<Principal>>,
}

impl Visitor {
    /// A back end of the operator's own.
    pub fn back_end(namespace: Namespace) -> Self {
        Self {
            namespace,
            principal: None,
        }
    }
}

impl Caller for Visitor {
    fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn identity(&self) -> Option<Arc<Principal>> {
        self.principal.clone()
    }

    fn connection(&self) -> Option<&Connection> {
        None
    }
}

impl Hub {
    /// A user who asks without a connection, with what its identity grants.
    pub fn visitor(&self, namespace: Namespace, principal: Principal) -> Result<Visitor> {
        self.check_name(principal.user.as_str().len())?;
        Ok(Visitor {
            namespace,
            principal: Some(Arc::new(principal)),
        })
    }

    /// Takes a permit to send a message at once: from the connection's own rate if there is a connection, and from its
    /// user's, which counts over all doors.
    pub fn take_message_permit(&self, caller: &impl Caller, now: Instant) -> Result<()> {
        self.reserve(caller, Toll::Message, now, Duration::ZERO)
            .map(|_| ())
    }

    /// Waits until a transport that has connected before may do so once more: that takes a permit to send a message. Left and entered again and again, a
    /// namespace would cost its client nothing.
    pub async fn pace_connect(&self, rates: &ConnectionRates) {
        let reserved =
            (rates.lock().messages).reserve(self.0.messages, Instant::now(), Duration::MAX);
        if let Ok(wait) = reserved
            && !wait.is_zero()
        {
            self.0.metrics.held_back(wait);
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes permits of the caller's rates for what its request turned out to cost besides the one that it took at first. It is
    /// answered all the same; what it asks for next waits, or is refused, until they have come back.
    pub(in crate::hub) fn charge(&self, caller: &impl Caller, permits: usize, now: Instant) {
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        if permits == 0 {
            return;
        }
        if let Some(connection) = caller.connection() {
            let mut rates = connection.rates();
            rates.messages.charge(self.0.messages, permits, now);
        }
        if let Some(principal) = caller.identity() {
            self.0.user_messages.charge(&principal.user, permits, now);
        }
    }

    /// Takes permits for messages that the caller is given in an answer: one for each 64 KiB, the first of which is paid for by
    /// its request.
    pub(in crate::hub) fn charge_messages(
        &self,
        caller: &impl Caller,
        messages: &[Arc<Message>],
        now: Instant,
    ) {
        let bytes = messages.iter().map(|message| message.data.get().len());
        let bytes = bytes.sum::<usize>() + messages.len() * MESSAGE_BYTES;
        self.charge(caller, bytes / BYTES_A_PERMIT, now);
    }

    /// Takes a permit to read a room that the caller is not in, at once: that costs what joining it would.
    pub fn take_visit_permit(&self, caller: &impl Caller, now: Instant) -> Result<()> {
        self.reserve_joins(caller, 1, now, Duration::ZERO)
            .map(|_| ())
    }

    /// Takes what reading a room costs somebody without a connection who has been answered already.
    pub(in crate::hub) fn charge_visit(&self, visitor: &Visitor, now: Instant) {
        if let Some(principal) = visitor.identity() {
            self.0.visits.charge(&principal.user, 1, now);
            self.0.user_joins.charge(&principal.user, 1, now);
        }
    }

    /// Takes the next permits for something that costs `toll`, and says how long until they may be used: no longer than
    /// `patience`, else it is refused.
    pub(in crate::hub) fn reserve(
        &self,
        caller: &impl Caller,
        toll: Toll,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration> {
        if toll == Toll::Join {
            return self.reserve_joins(caller, 1, now, patience);
        }
        let share = |rate: Rate| match toll {
            Toll::Event => rate.halved(),
            _ => rate,
        };
        let mut wait = Duration::ZERO;
        if let Some(connection) = caller.connection() {
            let bucket = &mut connection.rates().messages;
            wait = bucket
                .reserve(share(self.0.messages), now, patience)
                .map_err(|wait| too_fast(Limit::MessagesPerSecond, wait))?;
        }
        let Some(principal) = caller.identity() else {
            return Ok(wait);
        };
        let users = &self.0.user_messages;
        let for_user = users
            .reserve(&principal.user, share(users.rate()), now, patience)
            .map_err(|wait| too_fast(Limit::UserMessagesPerSecond, wait))?;
        Ok(wait.max(for_user))
    }

    /// The same for joining or reading so many rooms. Whatever a user asks without a connection counts together, as if it asked
    /// by one.
    pub(in crate::hub) fn reserve_joins(
        &self,
        caller: &impl Caller,
        rooms: u32,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration> {
        let Some(principal) = caller.identity() else {
            return Ok(Duration::ZERO);
        };
        let own = match caller.connection() {
            Some(connection) => {
                let bucket = &mut connection.rates().joins;
                bucket.reserve_many(self.0.joins, rooms, now, patience)
            }
            None => (self.0.visits).reserve_many(&principal.user, rooms, now, patience),
        };
        let wait = own.map_err(|wait| too_fast(Limit::JoinsPerSecond, wait))?;
        let for_user = self.reserve_user_joins(caller, rooms, now, patience)?;
        Ok(wait.max(for_user))
    }

    /// The same of what all connections and requests of a user have together.
    pub(in crate::hub) fn reserve_user_joins(
        &self,
        caller: &impl Caller,
        rooms: u32,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration> {
        let Some(principal) = caller.identity() else {
            return Ok(Duration::ZERO);
        };
        let users = &self.0.user_joins;
        users
            .reserve_many(&principal.user, rooms, now, patience)
            .map_err(|wait| too_fast(Limit::UserJoinsPerSecond, wait))
    }
}

/// What a request takes of its sender's rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toll {
    /// Whatever is nothing else.
    Message,
    /// An event that is passed on and not kept: half of a message, so that a pointer that moves sixty times a second is
    /// no flood.
    Event,
    /// A join, or reading a room that the caller is not in; these have a rate of their own.
    Join,
}
