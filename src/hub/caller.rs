//! Who asks: a connection, or a request that comes without one. Every rule that both are under asks here.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Connection, Hub, too_fast};
use crate::{
    auth::{Permission, Principal},
    error::{Limit, Result},
    limits::Rate,
    model::{Namespace, RoomKey, RoomName, Sender},
};

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

    /// Takes permits of the caller's rates for what its request turned out to cost besides the one that it took at first. It is
    /// answered all the same; what it asks for next waits, or is refused, until they have come back.
    pub(super) fn charge(&self, caller: &impl Caller, permits: usize, now: Instant) {
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        if let Some(connection) = caller.connection() {
            let mut rates = connection.rates();
            rates.messages.charge(self.0.messages, permits, now);
        }
        if let Some(principal) = caller.identity() {
            self.0.user_messages.charge(&principal.user, permits, now);
        }
    }

    /// Takes the next permits for something that costs `toll`, and says how long until they may be used: no longer than
    /// `patience`, else it is refused.
    pub(super) fn reserve(
        &self,
        caller: &impl Caller,
        toll: Toll,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration> {
        let share = |rate: Rate| match toll {
            Toll::Event => rate.halved(),
            Toll::Message | Toll::Join => rate,
        };
        let mut wait = Duration::ZERO;
        if let Some(connection) = caller.connection() {
            let mut rates = connection.rates();
            let (bucket, rate, limit) = match toll {
                Toll::Join => (&mut rates.joins, self.0.joins, Limit::JoinsPerSecond),
                _ => (
                    &mut rates.messages,
                    self.0.messages,
                    Limit::MessagesPerSecond,
                ),
            };
            wait = bucket
                .reserve(share(rate), now, patience)
                .map_err(|wait| too_fast(limit, wait))?;
        }
        let (Some(principal), false) = (caller.identity(), toll == Toll::Join) else {
            return Ok(wait);
        };
        let users = &self.0.user_messages;
        let for_user = users
            .reserve(&principal.user, share(users.rate()), now, patience)
            .map_err(|wait| too_fast(Limit::UserMessagesPerSecond, wait))?;
        Ok(wait.max(for_user))
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
    /// A join, which has a rate of its own.
    Join,
}
