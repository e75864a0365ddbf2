//! The log and the bus beneath the hub: they order, store and carry messages.
//!
//! A [`Log`] drops repeats of an id, numbers a message, stores it and settles its receipt. Then it puts the message on the
//! node's one stream of [`Delivery`]s, in the order of the numbers. A [`Bus`] puts events that are not stored on the
//! same stream. The hub reads that stream and nothing else, so the publisher's own node delivers like every other node,
//! and a member sees one order. [`ReadMarkers`] are stored beside the log and record how far each user has read.
//!
//! A backend knows no connections, no grants and no protocol.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::{
    error::{Error, Result},
    model::{
        Broadcast, ConnectionId, Epoch, EventName, Incarnation, Message, MessageId, Namespace,
        NodeId, Offset, RoomKey, Sender, Seq, Timestamp,
    },
};

mod bus_event;
mod clock;
mod cluster;
#[cfg(test)]
mod conformance;
mod documents;
mod epoch;
mod health;
mod hot_cache;
pub mod memory;
mod outbox;
mod pubsub;
mod read_markers;
mod recent;
pub mod redis;
pub mod retention;
mod sessions;
mod settings;
pub mod sqlite;

pub use bus_event::{BusEvent, DocumentNotice};
use clock::{Clock, LogTime};
pub use cluster::{
    ClusterNodes, ClusterNotice, PeerRequest, PresenceEntry, RemoteEvent, RosterPage,
};
pub use documents::{DocumentInfo, DocumentStore, DocumentUpdate, StoredDocument, UpdateTerms};
pub use health::{FailedCheck, Health};
pub use outbox::{
    DEFAULT_OUTBOX_EVENTS, EndpointRecord, MessageEntries, Outbox, OutboxEvent, OutboxKind,
    OutboxPage,
};
pub(crate) use outbox::{first_number, membership_events};
pub use pubsub::{Channel, PubSub, PubSubMessages};
pub use read_markers::{ReadMarker, ReadMarkers};
pub use retention::{GAP_DETECTION_WINDOW, Retention, RetentionPolicy};
pub use sessions::{SessionStore, StoredSession};
pub use settings::{
    EmitterSystem, HistorySettings, RedisSettings, RetentionRule, RetentionRules, SqliteSettings,
    Synchronous,
};

/// A message on its way to the log.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The room it is published to.
    pub room: RoomKey,
    /// The sender's id for it. The same id again in the same room within the idempotency window is the same message.
    /// `None`: the log generates one.
    pub id: Option<MessageId>,
    /// The event name it is delivered under.
    pub event: EventName,
    /// The sender.
    pub from: Option<Sender>,
    /// The payload, byte for byte.
    pub data: Arc<RawValue>,
    /// A connection that it is not delivered to: the sender's own, with `echo: false`.
    pub except: Option<ConnectionId>,
    /// What the outbox is to tell of it. A repeat, and a message of a room that keeps none, is not told of.
    pub entries: MessageEntries,
}

/// The result of storing a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Appended {
    /// The message's id.
    pub id: MessageId,
    /// Its number in the room.
    pub seq: Seq,
    /// The room's epoch.
    pub epoch: Epoch,
    /// When it was stored; for a repeat, when it was first stored.
    pub ts: Timestamp,
    /// It is a repeat: nothing was stored or delivered now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// A handle to the pending result of an accepted draft.
///
/// Drafts accepted one after another are stored in that order whether or not their receipts are awaited; where several nodes
/// share the log, drafts to different rooms may be stored in another order. Dropping a receipt does not cancel the draft.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<Appended>>);

impl Receipt {
    /// Returns a receipt, and the sender that settles it.
    pub fn new() -> (oneshot::Sender<Result<Appended>>, Self) {
        let (settle, receipt) = oneshot::channel();
        (settle, Self(receipt))
    }

    /// Waits until the message is stored and on its way to the members.
    ///
    /// # Errors
    /// Fails if the message could not be stored.
    pub async fn wait(mut self) -> Result<Appended> {
        self.wait_mut().await
    }

    /// As [`wait`](Self::wait), without consuming the receipt. Call it to completion at most once.
    pub(crate) async fn wait_mut(&mut self) -> Result<Appended> {
        (&mut self.0).await.unwrap_or_else(|_| Err(closed()))
    }
}

/// Which messages of a room to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// The messages after a number, oldest first.
    After(Seq),
    /// The last messages before a number.
    Before(Seq),
    /// The last messages.
    Last,
}

impl Range {
    /// The last messages, or those before or after a number.
    ///
    /// # Errors
    /// Fails with `bad_request` if both are given.
    pub fn of(before: Option<Seq>, after: Option<Seq>) -> Result<Self> {
        match (before, after) {
            (Some(_), Some(_)) => Err(Error::bad_request(
                "history takes before or after, not both",
            )),
            (Some(seq), None) => Ok(Range::Before(seq)),
            (None, Some(seq)) => Ok(Range::After(seq)),
            (None, None) => Ok(Range::Last),
        }
    }
}

/// How much one read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize {
    /// Messages; 0 reads only the room's position.
    pub messages: usize,
    /// Total bytes of `data`; a page has at least one message even if it is larger.
    pub bytes: usize,
}

impl PageSize {
    /// Only the room's position.
    pub const NOTHING: Self = Self {
        messages: 0,
        bytes: 0,
    };

    /// The first message, whatever its size.
    pub const ONE: Self = Self {
        messages: 1,
        bytes: 0,
    };
}

/// Part of a room's log, as of one moment.
#[derive(Clone, Debug)]
pub struct Page {
    /// The room's epoch.
    pub epoch: Epoch,
    /// The number of the room's last message; 0 before the first.
    pub head: Seq,
    /// The offset of that message, whether or not it is still stored; 0 before the first.
    pub offset: Offset,
    /// The number of the oldest message that is still stored; `head + 1` if none is.
    pub oldest: Seq,
    /// The messages, oldest first, without gaps in their numbers.
    pub messages: Vec<Arc<Message>>,
    /// The range has more messages than fit into the page.
    pub more: bool,
}

impl Page {
    /// The page of a room that was never written to.
    fn unwritten(epoch: Epoch) -> Self {
        Self {
            epoch,
            head: Seq(0),
            offset: Offset(0),
            oldest: Seq(1),
            messages: Vec::new(),
            more: false,
        }
    }
}

/// A room's messages between two offsets, or the first part of them.
#[derive(Clone, Debug)]
pub struct Missed {
    /// The messages, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// There are more messages than fit into the page.
    pub more: bool,
    /// No message after the first offset has been deleted from the log.
    pub complete: bool,
}

impl Missed {
    /// Nothing was missed.
    fn nothing() -> Self {
        Self {
            messages: Vec::new(),
            more: false,
            complete: true,
        }
    }
}

/// What the backend passes to the hub, in order.
#[derive(Debug)]
pub enum Delivery {
    /// A stored message.
    Message(Arc<Message>),
    /// An event that is not stored.
    Event(BusEvent),
    /// An event from another node about a room that this node is subscribed to.
    Remote(RoomKey, RemoteEvent),
    /// Another node does not count as alive any more. Unlike [`RemoteEvent::NodeLeft`], of whatever it had.
    NodeGone(NodeId),
    /// A request from another node.
    Request(PeerRequest),
    /// A barrier: the sender waits until everything before it has been delivered.
    Barrier(oneshot::Sender<()>),
}

/// The node's stream of deliveries: the receiving end, for the hub.
pub type Deliveries = mpsc::Receiver<Delivery>;

/// How many deliveries may be queued for the hub before appends wait, too.
const DELIVERY_QUEUE: usize = 1024;

/// Creates a stream of deliveries.
pub fn deliveries() -> (mpsc::Sender<Delivery>, Deliveries) {
    mpsc::channel(DELIVERY_QUEUE)
}

/// Orders and stores messages.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Accepts a draft; its place in the order is fixed when this returns. Waits while the log is behind.
    ///
    /// # Errors
    /// Fails with `unavailable` if the log is closed.
    async fn append(&self, draft: Draft) -> Result<Receipt>;

    /// Reads part of a room, or only its position. Never waits for an append, and stores nothing for a room that was never
    /// written to: its epoch is derived from its name and the log's incarnation, and its first message is stored under it.
    async fn read(&self, room: &RoomKey, range: Range, size: PageSize) -> Result<Page>;

    /// Reads the messages of a room with offsets greater than `after` and not greater than `until`; to continue, pass the
    /// last message's offset as `after`. Never waits for an append, creates no room, and serves the newest from memory.
    ///
    /// Returns nothing, and `complete`, for a room that was never written to or was forgotten.
    async fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
    ) -> Result<Missed>;

    /// The last offset of a namespace: messages with this offset or a lower one can be read, messages stored from now on have
    /// a higher one. Call [`incarnation`](Self::incarnation) after this for the incarnation that the offset belongs to.
    async fn last_offset(&self, namespace: &Namespace) -> Result<Offset>;

    /// Names the incarnation of this log: offsets are comparable only within one. It changes only if the log was lost or
    /// reset, which can happen at any time to a log that nodes share.
    fn incarnation(&self) -> Incarnation;

    /// Checks that appends and reads can be served now, with a probe unless there was one a moment ago.
    ///
    /// # Errors
    /// Fails with `unavailable`, the check that fails and the reason.
    async fn ready(&self) -> Result<()>;

    /// Stores what was accepted, then stops; later calls fail with `unavailable`. Stored messages are still delivered:
    /// continue to read the deliveries meanwhile, or drop the stream.
    async fn close(&self);
}

/// Carries events that are not stored.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Puts an event on the stream of every node that has members in its room, after every message that this node's log has
    /// settled before.
    async fn send(&self, event: BusEvent) -> Result<()>;

    /// Puts an application's event on the stream of this node alone, behind what was [sent](Self::send) before. On a single node that is
    /// every node.
    async fn send_here(&self, broadcast: Arc<Broadcast>) -> Result<()> {
        self.send(BusEvent::Broadcast(broadcast)).await
    }

    /// Waits until every message that this node's log has settled before, and every message that could be read before in the
    /// rooms that this node is subscribed to, has been delivered to this node's members.
    async fn flush(&self);

    /// Subscribes this node to a room: its events, and all messages stored in it from now on, are delivered to this node.
    /// Call it when the room gets its first member, and read the log when the returned future is ready. If that fails, the
    /// subscription is retried until it succeeds. The room stays subscribed until the next
    /// [`unsubscribe`](Self::unsubscribe) of it: calls take effect in their order.
    fn subscribe(&self, room: &RoomKey) -> Subscribing;

    /// Ends the subscription. Call it when the last member has left.
    fn unsubscribe(&self, room: &RoomKey);
}

/// Ready when a room is subscribed.
pub type Subscribing = BoxFuture<'static, Result<()>>;

/// The bus of a single node: directly to its own stream.
pub struct LocalBus(mpsc::Sender<Delivery>);

impl LocalBus {
    /// Creates a bus that sends to `stream`.
    pub fn new(stream: mpsc::Sender<Delivery>) -> Self {
        Self(stream)
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn send(&self, event: BusEvent) -> Result<()> {
        self.0
            .send(Delivery::Event(event))
            .await
            .map_err(|_| Error::unavailable("the server is stopping"))
    }

    async fn flush(&self) {
        let (reached, waiting) = oneshot::channel();
        if self.0.send(Delivery::Barrier(reached)).await.is_ok() {
            // If the stream ends meanwhile, nothing more is delivered.
            let _ = waiting.await;
        }
    }

    fn subscribe(&self, _: &RoomKey) -> Subscribing {
        Box::pin(std::future::ready(Ok(())))
    }

    fn unsubscribe(&self, _: &RoomKey) {}
}

/// A log and a bus that share one stream of deliveries, with the read markers, sessions and other nodes beside the log.
#[derive(Clone)]
pub struct Backend {
    /// Orders and stores messages.
    pub log: Arc<dyn Log>,
    /// Carries events that are not stored.
    pub bus: Arc<dyn Bus>,
    /// Stores how far each user has read.
    pub read_markers: Arc<dyn ReadMarkers>,
    /// Stores sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Stores what back ends are told.
    pub outbox: Arc<dyn Outbox>,
    /// Stores documents.
    pub documents: Arc<dyn DocumentStore>,
    /// The other nodes over the same log; `None` if there can be none.
    pub cluster: Option<Arc<dyn ClusterNodes>>,
    /// Messages between nodes that are not stored; `None` if there can be no other nodes.
    pub pubsub: Option<Arc<dyn PubSub>>,
    /// Whether everything that the backend needs works.
    pub health: Arc<Health>,
}

/// How long a message id is remembered, by default.
pub const DEFAULT_IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(3600);

/// How long a session that has ended can be resumed, by default.
pub const DEFAULT_SESSION_WINDOW: Duration = Duration::from_secs(120);

fn closed() -> Error {
    Error::unavailable("the log has closed; retry with the same id")
}
