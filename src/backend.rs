//! The log and the bus beneath the hub: what orders, keeps and carries messages.
//!
//! A [`Log`] drops a repeat of an id, gives a message its numbers, stores it and answers; then it puts it on the
//! node's one stream of [`Delivery`]s, in the order of the numbers. A [`Bus`] puts events that are not kept on the
//! same stream. The hub reads that stream and nothing else, so the publisher's own node delivers like every other
//! and a member sees one order. [`Marks`] stand beside the log and say how far each user has read.
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
        ConnectionId, Ephemeral, Epoch, EventName, Message, MessageId, Namespace, Offset, RoomKey,
        Sender, Seq, Timestamp,
    },
};

mod clock;
mod cluster;
#[cfg(test)]
mod conformance;
mod epoch;
mod health;
mod hot_cache;
pub mod memory;
mod pubsub;
mod read_markers;
mod recent;
pub mod redis;
pub mod retention;
mod sessions;
mod settings;
pub mod sqlite;

use clock::{Clock, LogTime};
pub use cluster::{ClusterNodes, Notice, PeerRequest, PresenceEntry, RemoteEvent, RosterPage};
pub use health::{FailedCheck, Health};
pub use pubsub::{PubSub, PubSubMessages};
pub use read_markers::{ReadMarker, ReadMarkers};
pub use retention::{GAP_DETECTION_WINDOW, Retention, RetentionPolicy};
pub use sessions::{SessionStore, StoredSession};
pub use settings::{
    HistorySettings, RedisSettings, RetentionRule, RetentionRules, SqliteSettings, Synchronous,
};

/// A message on its way to the log.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where it goes.
    pub room: RoomKey,
    /// The sender's id for it. The same id again in the same room, inside the idempotency window, is the same
    /// message. `None`: the log gives it a fresh one.
    pub id: Option<MessageId>,
    /// The name it is delivered under.
    pub event: EventName,
    /// Who sends it.
    pub from: Option<Sender>,
    /// What is sent, byte for byte.
    pub data: Arc<RawValue>,
    /// The connection that is not to get it back (`echo: false`).
    pub except: Option<ConnectionId>,
}

/// What the log answers once a message is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Appended {
    /// The message's id.
    pub id: MessageId,
    /// Its number in the room.
    pub seq: Seq,
    /// The room's epoch.
    pub epoch: Epoch,
    /// When it was stored; for a repeat, when it was stored first.
    pub ts: Timestamp,
    /// It had been stored before: nothing was stored or delivered now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// The coming answer to an accepted draft.
///
/// Drafts accepted one after another are stored in that order whether or not their receipts are awaited; where servers share
/// the rooms, those of different rooms may be stored in another. Dropping a receipt does not take the draft back.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<Appended>>);

impl Receipt {
    /// A receipt, and the sender that settles it.
    pub fn new() -> (oneshot::Sender<Result<Appended>>, Self) {
        let (settle, receipt) = oneshot::channel();
        (settle, Self(receipt))
    }

    /// Waits until the message is stored and on its way to the members, or could not be.
    pub async fn wait(mut self) -> Result<Appended> {
        self.wait_mut().await
    }

    /// As [`settled`](Self::settled), for who has to keep the receipt while it waits; to be waited for once.
    pub(crate) async fn wait_mut(&mut self) -> Result<Appended> {
        (&mut self.0).await.unwrap_or_else(|_| Err(closed()))
    }
}

/// Which messages of a room to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Those after a number, oldest first.
    After(Seq),
    /// The last ones before a number.
    Before(Seq),
    /// The last ones.
    Last,
}

impl Range {
    /// The last messages, or those before or after a number.
    ///
    /// # Errors
    /// `bad_request` if both are given.
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
    /// Bytes of `data` in all; a page has at least one message all the same.
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

/// Part of a room's log, as it was at one moment.
#[derive(Clone, Debug)]
pub struct Page {
    /// The room's epoch.
    pub epoch: Epoch,
    /// The room's last number at that moment; 0 before the first message.
    pub head: Seq,
    /// That message's offset, whether or not it is still kept; 0 before the first message.
    pub offset: Offset,
    /// The number of the oldest message that is still kept; `head + 1` when none is.
    pub oldest: Seq,
    /// The messages, oldest first, numbers without holes.
    pub messages: Vec<Arc<Message>>,
    /// More of what was asked for exists beyond the page's size.
    pub more: bool,
}

impl Page {
    /// What any read gives of a room that nobody has written to.
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

/// What a room's log holds between two offsets, or the first part of it.
#[derive(Clone, Debug)]
pub struct Missed {
    /// The messages, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// More of them exist beyond the page's size.
    pub more: bool,
    /// No message after the first offset is gone from the log.
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

/// What comes up from the backend to the hub, in order.
#[derive(Debug)]
pub enum Delivery {
    /// A stored message.
    Message(Arc<Message>),
    /// An event that is not kept, and the connection that is not to get it.
    Ephemeral(Arc<Ephemeral>, Option<ConnectionId>),
    /// What other nodes say of a room that this one follows.
    Remote(RoomKey, RemoteEvent),
    /// Another node asks something.
    Request(PeerRequest),
    /// Somebody waits until everything before this has been delivered.
    Barrier(oneshot::Sender<()>),
}

/// The node's stream of deliveries: the receiving end, for the hub.
pub type Deliveries = mpsc::Receiver<Delivery>;

/// How many deliveries may wait for the hub before appends wait too.
const DELIVERIES: usize = 1024;

/// A new stream of deliveries.
pub fn deliveries() -> (mpsc::Sender<Delivery>, Deliveries) {
    mpsc::channel(DELIVERIES)
}

/// Orders and keeps messages.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Accepts a draft; its place in the order is taken when this returns. Waits while the log is behind, and
    /// fails with `unavailable` if it is closed.
    async fn append(&self, draft: Draft) -> Result<Receipt>;

    /// Reads part of a room, or only its position. Never waits for an append, and stores nothing of a room that was never
    /// written: its epoch is derived from its name and the log's incarnation, and its first message is stored under it.
    async fn read(&self, room: &RoomKey, range: Range, size: PageSize) -> Result<Page>;

    /// Reads the messages of a room with offsets greater than `after` and not greater than `until`; to read on, take the
    /// last one's offset for `after`. Never waits for an append, creates no room, and serves the newest from memory.
    ///
    /// A room that was never written, or was forgotten, misses nothing.
    async fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
    ) -> Result<Missed>;

    /// The last offset of a namespace: whatever has it or a lower one can be read, whatever is stored from now on has a
    /// higher one. What [`incarnation`](Self::incarnation) says behind this is the incarnation that it is of.
    async fn last_offset(&self, namespace: &Namespace) -> Result<Offset>;

    /// Names the incarnation of this log: offsets compare only within one. It changes only if the log was lost or reset, which one
    /// that nodes share may be at any time.
    fn incarnation(&self) -> Epoch;

    /// Whether appends and reads can be served now: looks, unless that was done a moment ago. `unavailable`, with what fails
    /// and why, if not.
    async fn ready(&self) -> Result<()>;

    /// Stores whatever was accepted and ends; later calls fail with `unavailable`. What is stored is still delivered:
    /// go on reading the deliveries meanwhile, or drop them.
    async fn close(&self);
}

/// Carries events that are not kept.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Puts an event on the stream of every node that has members in its room, after whatever this node's log has
    /// settled before.
    async fn send(&self, event: Arc<Ephemeral>, except: Option<ConnectionId>) -> Result<()>;

    /// Waits until whatever this node's log has settled before, and whatever could be read before in the rooms that this
    /// node follows, has been delivered to this node's members.
    async fn flush(&self);

    /// Has everything that is stored in a room from now on, and its events, delivered to this node: call it when the room
    /// gets its first member, and read the log when what it answers is ready. Where that fails, the room will be followed
    /// once it can be. A room is followed from this call until the next [`unsubscribe`](Self::unsubscribe) of it: calls take
    /// effect in their order.
    fn subscribe(&self, room: &RoomKey) -> Subscribing;

    /// Ends that: call it when the last member has gone.
    fn unsubscribe(&self, room: &RoomKey);
}

/// Ready when a room is followed.
pub type Subscribing = BoxFuture<'static, Result<()>>;

/// A bus of one node: straight to its own stream.
pub struct LocalBus(mpsc::Sender<Delivery>);

impl LocalBus {
    /// A bus into `stream`.
    pub fn new(stream: mpsc::Sender<Delivery>) -> Self {
        Self(stream)
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn send(&self, event: Arc<Ephemeral>, except: Option<ConnectionId>) -> Result<()> {
        self.0
            .send(Delivery::Ephemeral(event, except))
            .await
            .map_err(|_| Error::unavailable("the server is stopping"))
    }

    async fn flush(&self) {
        let (reached, waiting) = oneshot::channel();
        if self.0.send(Delivery::Barrier(reached)).await.is_ok() {
            // A stream that ends meanwhile delivers nothing more either.
            let _ = waiting.await;
        }
    }

    fn subscribe(&self, _: &RoomKey) -> Subscribing {
        Box::pin(std::future::ready(Ok(())))
    }

    fn unsubscribe(&self, _: &RoomKey) {}
}

/// A log and a bus that share one stream of deliveries, and the read marks, sessions and other nodes beside the log.
#[derive(Clone)]
pub struct Backend {
    /// What orders and keeps.
    pub log: Arc<dyn Log>,
    /// What carries.
    pub bus: Arc<dyn Bus>,
    /// What knows how far each user has read.
    pub read_markers: Arc<dyn ReadMarkers>,
    /// What knows sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// What knows other nodes; `None` where there can be none.
    pub cluster: Option<Arc<dyn ClusterNodes>>,
    /// What carries words between nodes; `None` where there can be none.
    pub pubsub: Option<Arc<dyn PubSub>>,
    /// What has to work for all that.
    pub health: Arc<Health>,
}

/// How long the sender of an id can repeat it, by default.
pub const DEFAULT_IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(3600);

/// How long a session that has ended can be resumed, by default.
pub const DEFAULT_SESSION_WINDOW: Duration = Duration::from_secs(120);

fn closed() -> Error {
    Error::unavailable("the log has closed; retry with the same id")
}
