//! One policy.

use std::time::Duration;

use super::{event_rules::EventRules, rate::RoomRate};
use crate::{
    limits::Buckets,
    model::{RoomKey, UserId},
    options::choice,
    pattern::Pattern,
};

choice! {
    /// Who may join a room, and read it as a member does.
    pub enum JoinRule {
        /// Anyone whom the grants allow to.
        Anyone = "anyone",
        /// Who is more than what a client says of itself: nobody in open mode.
        Token = "token",
        /// Who a hook permits it.
        Hook = "hook",
        /// Nobody. An application, and what hooks reply, can make connections members all the same.
        Nobody = "nobody",
    }
}

choice! {
    /// Who may send to a room.
    pub enum PublishRule {
        /// Whoever the grants allow to.
        Anyone = "anyone",
        /// Connections that are in the room, and back ends.
        Members = "members",
        /// Back ends: API keys, what hooks reply, and the application itself.
        Backend = "backend",
        /// Whoever a hook permits it, and back ends.
        Hook = "hook",
        /// Nobody.
        Nobody = "nobody",
    }
}

choice! {
    /// Who is shown in a room.
    pub enum PresenceRule {
        /// Each user.
        Users = "users",
        /// How many there are.
        Count = "count",
        /// Nothing.
        Off = "off",
    }
}

/// What may be done in the rooms that match a pattern.
#[derive(Debug)]
pub(crate) struct RoomPolicy {
    /// Its place in the table, from 0.
    pub(crate) index: usize,
    /// The rooms' names.
    pub(crate) pattern: Pattern,
    /// Who may join.
    pub(crate) join: JoinRule,
    /// Who may send.
    pub(crate) publish: PublishRule,
    /// How many messages are kept, and for how long; `None`: as everywhere.
    pub(crate) history: Option<KeptHistory>,
    /// Who is shown.
    pub(crate) presence: PresenceRule,
    /// Whether members may show that they are typing.
    pub(crate) typing: bool,
    /// How fast each user may send to one of the rooms; `None`: as everywhere.
    pub(crate) rate: Option<RoomRates>,
    /// Most bytes of `data`; `None`: as everywhere.
    pub(crate) message_bytes: Option<usize>,
    /// Which events may be sent, with which data.
    pub(crate) events: EventRules,
}

/// How many messages of a room are kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptHistory {
    pub(crate) messages: u64,
    pub(crate) age: Duration,
}

/// A rate, and what has been used of it by each user in each room.
#[derive(Debug)]
pub(crate) struct RoomRates {
    pub(crate) rate: RoomRate,
    pub(crate) buckets: Buckets<(UserId, RoomKey)>,
}

impl RoomRates {
    pub(super) fn new(rate: RoomRate) -> Self {
        Self {
            buckets: Buckets::new(rate.rate()),
            rate,
        }
    }
}

impl RoomPolicy {
    /// Its name in messages for operators.
    pub(crate) fn name(&self) -> String {
        format!("rooms[{}]", self.index)
    }
}
