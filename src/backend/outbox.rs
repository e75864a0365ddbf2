//! The outbox: what happened, in order, for the back ends that are told of it.
//!
//! It is kept with the log and written in the same step as what it tells of. A message is not copied: its entry names the room and
//! the number, and reading resolves it. Everything else (who joined, who left) is an entry of its own. Entries are numbered without
//! gaps; the oldest are deleted when there are too many, and a reader sees that by the numbers.
//!
//! The outbox also decides when a user joins or leaves a room as seen by all nodes together: each node sets which users it has
//! ([`Outbox::set_member`]), and only the first and the last of them make an event. A node that has died is removed as a whole.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    error::Result,
    model::{Message, RoomKey, Timestamp, UserId},
};

/// How many events an outbox keeps, by default.
pub const DEFAULT_OUTBOX_EVENTS: usize = 1_000_000;

/// What an event of the outbox tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutboxKind {
    /// A message was stored.
    Message,
    /// A notification was stored for a user without a connection.
    NotificationUnseen,
    /// A room has its first member.
    RoomOccupied,
    /// A room has no members any more.
    RoomVacated,
    /// A user has joined a room.
    MemberJoined,
    /// A user has left a room.
    MemberLeft,
    /// A user has a connection.
    UserOnline,
    /// A user has no connection any more.
    UserOffline,
    /// A document was changed.
    DocumentChanged,
}

impl OutboxKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Message,
        Self::NotificationUnseen,
        Self::RoomOccupied,
        Self::RoomVacated,
        Self::MemberJoined,
        Self::MemberLeft,
        Self::UserOnline,
        Self::UserOffline,
        Self::DocumentChanged,
    ];

    /// Its name, as back ends are told and as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::NotificationUnseen => "notification.unseen",
            Self::RoomOccupied => "room.occupied",
            Self::RoomVacated => "room.vacated",
            Self::MemberJoined => "member.joined",
            Self::MemberLeft => "member.left",
            Self::UserOnline => "user.online",
            Self::UserOffline => "user.offline",
            Self::DocumentChanged => "document.changed",
        }
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Which entries of the outbox a message gets, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageEntries {
    /// One of [`OutboxKind::Message`].
    pub message: bool,
    /// One of [`OutboxKind::NotificationUnseen`].
    pub unseen: bool,
}

impl MessageEntries {
    /// The kinds of the entries.
    pub(crate) fn kinds(self) -> impl Iterator<Item = OutboxKind> {
        let message = self.message.then_some(OutboxKind::Message);
        let unseen = self.unseen.then_some(OutboxKind::NotificationUnseen);
        message.into_iter().chain(unseen)
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct OutboxEvent {
    /// Its number in its stream: one more than that of the event before.
    pub number: u64,
    /// What it tells of.
    pub kind: OutboxKind,
    /// The room; the personal room if it is about a user, and what stands for the document if it is about one.
    pub room: RoomKey,
    /// The user who joined, left, or came or went; `None` for events of rooms and messages.
    pub user: Option<UserId>,
    /// The message; `None` if it is gone from the log, and for events without one.
    pub message: Option<Arc<Message>>,
    /// When it happened; 0 for a message that is gone.
    pub ts: Timestamp,
}

/// Part of a stream of the outbox, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct OutboxPage {
    /// The events after the requested number, in order, without gaps. May begin later than requested: what is in between was
    /// deleted.
    pub events: Vec<OutboxEvent>,
    /// The number of the last event of the stream; the numbers of later events are higher. Not 0: the first number of a new
    /// outbox is derived from the time, so that no number is ever given twice.
    pub last: u64,
    /// The number behind which this numbering began: a gap across it does not say how many events are missing.
    pub began: u64,
}

/// Where an endpoint stands, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointRecord {
    /// What its sender has saved; `None` if it has never saved anything.
    pub state: Option<String>,
    /// Whether this node may send to it: it holds the lease.
    pub is_mine: bool,
    /// The node that holds the lease; `None` if none does, or there can be only one.
    pub owner: Option<String>,
}

/// Keeps what back ends are told, and how far each was told.
///
/// An outbox has one stream, or one for each shard of a Redis Cluster. Events are in order within a stream; a room's events are all in
/// one stream.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// How many streams there are. Never changes.
    fn streams(&self) -> usize;

    /// Records that this node has, or no longer has, a user in a room; for a personal room: that the user has a connection to
    /// this node. Adds the events that follow from it over all nodes: [`RoomOccupied`](OutboxKind::RoomOccupied) then
    /// [`MemberJoined`](OutboxKind::MemberJoined), [`MemberLeft`](OutboxKind::MemberLeft) then
    /// [`RoomVacated`](OutboxKind::RoomVacated), or [`UserOnline`](OutboxKind::UserOnline) and
    /// [`UserOffline`](OutboxKind::UserOffline) for a personal room. Setting what is set already adds nothing.
    ///
    /// Calls take effect in their order. Never waits: while the store is away, changes are queued, bounded by what this node has.
    fn set_member(&self, room: &RoomKey, user: &UserId, is_member: bool);

    /// Removes the users that earlier processes had, and that this one has not set meanwhile; adds the events that follow from it.
    /// Does nothing where leases do that.
    async fn remove_stale_members(&self) -> Result<()>;

    /// Reads the events of a stream with numbers greater than `after`, at most `limit`, and messages with at most `bytes` of data in
    /// total but at least one event.
    async fn read_events(
        &self,
        stream: usize,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<OutboxPage>;

    /// Waits until something was added since the last call, as far as this node knows; where it cannot know, returns after a
    /// moment. One waiter.
    async fn events_added(&self);

    /// Takes or renews the lease of sending to an endpoint, and reads where it stands. `endpoint` is a name of at most 64
    /// bytes. With a single node the lease is always granted.
    async fn claim_endpoint(&self, endpoint: &str) -> Result<EndpointRecord>;

    /// Reads where an endpoint stands.
    async fn find_endpoint(&self, endpoint: &str) -> Result<EndpointRecord>;

    /// Saves where an endpoint stands, as durably as a message. False, and nothing is saved, if this node does not hold the lease.
    async fn save_endpoint(&self, endpoint: &str, state: String) -> Result<bool>;

    /// Gives the lease up, so that another node can take it at once.
    async fn release_endpoint(&self, endpoint: &str);
}

/// The first number of an outbox that begins now: higher than any that an outbox before it has given, unless that had more than a
/// million events a second. Below 2^53 until the year 2255.
pub(crate) fn first_number(now: Timestamp) -> u64 {
    now.0.saturating_mul(1000)
}

/// The events of a user that joins or leaves a room; `alone`: nobody else is in it.
pub(crate) fn membership_events(
    room: &RoomKey,
    joined: bool,
    alone: bool,
) -> &'static [OutboxKind] {
    match (room.room.is_personal(), joined, alone) {
        (true, true, _) => &[OutboxKind::UserOnline],
        (true, false, _) => &[OutboxKind::UserOffline],
        (false, true, true) => &[OutboxKind::RoomOccupied, OutboxKind::MemberJoined],
        (false, true, false) => &[OutboxKind::MemberJoined],
        (false, false, true) => &[OutboxKind::MemberLeft, OutboxKind::RoomVacated],
        (false, false, false) => &[OutboxKind::MemberLeft],
    }
}
