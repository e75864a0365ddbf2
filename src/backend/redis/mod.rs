//! A log that several nodes share, in one Redis or Valkey.
//!
//! One script is one step: it drops a repeat, numbers a message in its room (`seq`) and in its namespace (`offset`), stores
//! it and publishes it. A node listens only to the rooms that it follows.
//!
//! # The order of deliveries
//!
//! The hub relies on this: messages of a namespace come in the order of their offsets, and whatever is newer than the answer
//! of [`Log::offset`] comes later.
//!
//! - Redis carries out one script after another, and a script publishes in the same step in which it takes the offset. All
//!   rooms that a node follows come through one connection. So as long as that connection lasts, what comes is in the order
//!   of offsets over all of its rooms, and nothing is missing. Offsets that do not come belong to rooms that are not
//!   followed, and nobody waits for them: what is missing shows in a room's own numbers, which have no holes.
//! - What is lost is lost with the connection, or because more waited here than may wait, or without a word. Whichever it
//!   was, the follower **compares**: while it listens already, it asks for the namespace's last offset, the *end*, and for
//!   the last offset of each room that it follows. Rooms that have more than was delivered are read up to the end, all
//!   together, and delivered in the order of offsets. Whatever is newer than the end is published after the node began to
//!   listen, so it waits in the queue or comes; whatever waits there and is not newer was just read, and is known by its
//!   offset. It compares after every new connection, when a number of a room is left out, and when something was let go.
//!   Now and then it only looks where rooms end, says a word on its own channel, and compares if something is still missing
//!   when the word comes back: what was merely on its way has come by then.
//! - A room is followed from where it ended just after its channel was heard. What is older is never delivered: whoever wants
//!   it reads the log after [`Bus::follow`] has returned.
//! - [`Log::offset`] asks Redis. Whatever gets a higher offset is published after that.
//!
//! Two things are weaker. If Redis left out a message on a connection that lasts (it does not; a slow listener is cut off), it
//! is found late and comes behind messages of other rooms that have higher offsets. And what a room no longer keeps cannot be
//! read: of a room that keeps nothing, what is sent while a node is cut off does not come, and what waits in the queue while
//! it compares may come behind other rooms' messages with higher offsets.
//!
//! # What is waited for
//!
//! A receipt is settled when the message was put on this node's stream, if this node follows the room; while Redis cannot
//! be listened to, as soon as an attempt to connect has failed. An event that is not kept goes through its room's channel and
//! so keeps its place behind messages that were settled before it was sent.
//!
//! # What is assumed
//!
//! Redis does not lose what it has acknowledged: it writes an append-only file (`appendonly yes`), and sure to survive a loss
//! of power is only what was synchronised (`appendfsync`). If offsets fall behind what was delivered all the same, which is
//! noticed when a node compares, numbering goes on well above them, the log begins another life, and the rooms that lost
//! something another epoch; messages that were stored before anybody noticed are not delivered, only kept. Clocks of nodes
//! may differ by seconds: a message leaves the log by the clock that is ahead.

use std::{
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use redis::{Client, Cmd, RedisError, Value};
use tokio::{
    sync::{Mutex, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    Backend, Bus, Clock, Deliveries, Delivery, Draft, Following, IDEMPOTENCY, Keep, Log, Missed,
    Page, PageSize, Range, Receipt, Retention, SESSION_WINDOW, closed, deliveries, retention::DAY,
};
use crate::{
    error::{Error, Result},
    model::{ConnectionId, Ephemeral, Epoch, Namespace, NodeId, Offset, RoomKey, Seq, Timestamp},
};

mod asking;
mod channels;
mod entry;
mod follower;
mod inflow;
mod keys;
mod line;
mod marks;
mod nodes;
mod pages;
mod scripts;
mod sessions;
mod sweep;
#[cfg(test)]
pub(in crate::backend) mod tests;
mod writer;

use asking::Asking;
use channels::RedisChannels;
use follower::Follower;
use keys::Part;
use line::Line;
use sweep::Sweeper;
use writer::{Command, Writer};

/// How many commands may wait for the writer, and how many bytes of drafts may be under way, before appends wait too.
const QUEUE: usize = 4096;
const QUEUE_BYTES: u32 = 32 << 20;

/// What a draft costs besides its data.
const OVERHEAD: u32 = 512;

/// How long a node counts as alive, and its users as there once it has stopped, by default.
const LEASE: Duration = Duration::from_secs(15);
const GRACE: Duration = Duration::from_secs(5);

/// Where a shared log is and what it keeps.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// One Redis: `redis://[user:password@]host[:port][/db]`.
    pub url: String,
    /// How much of each room is kept.
    pub retention: Retention,
    /// How long an id can be repeated.
    pub idempotency: Duration,
    /// How long a session that has ended can be resumed.
    pub session_window: Duration,
    /// How long the others take a node for alive that says nothing.
    pub lease: Duration,
    /// How long after a node has stopped its users stay, so that they can come back elsewhere.
    pub grace: Duration,
}

impl RedisConfig {
    /// A log at `url` with defaults for the rest.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            retention: Retention::default(),
            idempotency: IDEMPOTENCY,
            session_window: SESSION_WINDOW,
            lease: LEASE,
            grace: GRACE,
        }
    }
}

/// Why a shared log could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is none.
    #[error("this is no address of a Redis; write redis://host:port")]
    Url(#[source] RedisError),
    /// Redis is not there, or refuses.
    #[error("Redis cannot be used; start it, or correct its address")]
    Away(#[source] Error),
}

/// Opens the log at `config.url`, beginning one if there is none.
///
/// # Errors
/// If the address is wrong or Redis cannot be reached: a node that has never seen it could not tell which log it is of.
pub async fn open(config: RedisConfig) -> Result<(Backend, Deliveries), OpenError> {
    let (log, _, deliveries) = open_with(config, Arc::new(Timestamp::now)).await?;
    let log = Arc::new(log);
    let backend = Backend {
        marks: log.clone(),
        sessions: log.clone(),
        nodes: Some(log.clone()),
        channels: Some(log.channels.clone()),
        bus: log.clone(),
        log,
    };
    Ok((backend, deliveries))
}

async fn open_with(
    config: RedisConfig,
    clock: Clock,
) -> Result<(RedisLog, mpsc::Sender<Delivery>, Deliveries), OpenError> {
    let client = protocol_3(&config.url).map_err(OpenError::Url)?;
    let reads = Arc::new(Line::new(client.clone()));
    let life = life(&reads).await.map_err(OpenError::Away)?;
    let shared = Arc::new(Shared {
        client: client.clone(),
        clock,
        retention: config.retention,
        idempotency: config.idempotency,
        failing: AtomicBool::new(false),
        life: StdMutex::new(life),
        node: NodeId::fresh(),
        others: StdMutex::default(),
        book: nodes::Book::default(),
    });
    let nodes = nodes::begin(&shared, &reads, config.lease, config.grace);
    let nodes = nodes.await.map_err(OpenError::Away)?;
    let (stream, deliveries) = deliveries();
    let (queue, commands) = mpsc::channel(QUEUE);
    let (follower, follows) = mpsc::unbounded_channel();
    let following = Follower::new(shared.clone(), reads.clone(), stream.clone(), follows);
    tokio::spawn(following.run());
    let writer = Writer {
        shared: shared.clone(),
        line: Line::new(client),
        queue: commands,
        follower: follower.clone(),
    };
    let writing = tokio::spawn(writer.run());
    let used = Arc::new(());
    let sweeper = Sweeper {
        shared: shared.clone(),
        reads: reads.clone(),
        session_window: config.session_window,
    };
    tokio::spawn(sweeper.run(Arc::downgrade(&used)));
    let channels = Arc::new(RedisChannels::open(
        shared.clone(),
        vec![shared.client.clone()],
    ));
    let log = RedisLog {
        asking: Asking::begin(shared.clone(), channels.clone(), stream.clone()).await,
        channels,
        shared,
        reads,
        queue,
        space: Arc::new(Semaphore::new(QUEUE_BYTES as usize)),
        follower,
        session_window: config.session_window,
        closed: AtomicBool::new(false),
        writing: Mutex::new(Some(writing)),
        nodes,
        _used: used,
    };
    Ok((log, stream, deliveries))
}

/// What is published comes unasked only in the third version of the protocol.
fn protocol_3(url: &str) -> Result<Client, RedisError> {
    use redis::IntoConnectionInfo;

    let info = url.into_connection_info()?;
    let settings = info.redis_settings().clone();
    let settings = settings.set_protocol(redis::ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(settings))
}

/// The name of the log's life: whoever comes first makes it.
async fn life(reads: &Line) -> Result<Epoch> {
    let mut make = redis::cmd("SET");
    make.arg(keys::life())
        .arg(Epoch::fresh().as_str())
        .arg("NX");
    let mut get = redis::cmd("GET");
    get.arg(keys::life());
    reads.ask(make).await?;
    let life: String = line::read_as(reads.ask(get).await?)?;
    Ok(Epoch::from_text(&life))
}

/// Has the log begin another life: what was numbered in the one before may be gone.
async fn begin_life(reads: &Line) -> Result<()> {
    let mut make = redis::cmd("SET");
    make.arg(keys::life()).arg(Epoch::fresh().as_str());
    reads.ask(make).await.map(|_| ())
}

/// What the tasks of a node have in common.
struct Shared {
    client: Client,
    clock: Clock,
    retention: Retention,
    idempotency: Duration,
    failing: AtomicBool,
    // A std mutex: it is held to copy a name, and never across an await.
    life: StdMutex<Epoch>,
    node: NodeId,
    /// The other nodes that live, as it was last heard.
    others: StdMutex<Vec<NodeId>>,
    /// What this node has of users in rooms.
    book: nodes::Book,
}

impl Shared {
    /// How long an empty room is remembered when nobody uses it: longer than any id that it was sent.
    fn forget(&self, keep: Keep) -> u64 {
        millis(keep.linger().max(self.idempotency))
    }

    fn life(&self) -> Epoch {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        life.clone()
    }

    fn others(&self) -> Vec<NodeId> {
        let others = self.others.lock();
        others.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes which life of the log this is.
    fn live(&self, life: Epoch) {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = life;
    }

    /// Notes which other nodes live.
    fn live_beside(&self, others: Vec<NodeId>) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = others;
    }

    /// Logs a change, and only a change: while Redis is away every batch fails.
    fn note(&self, error: Option<&Error>) {
        let failed = self.failing.swap(error.is_some(), Ordering::AcqRel);
        match error {
            Some(error) if !failed => {
                tracing::error!(%error, "messages cannot be stored in Redis; they are refused until they can");
            }
            None if failed => tracing::info!("messages are stored in Redis again"),
            _ => {}
        }
    }
}

/// A number that a script reads without loss, or the largest such.
fn number(number: u64) -> u64 {
    number.min(1 << 53)
}

fn millis(time: Duration) -> u64 {
    // Added to the time of day it is still a number that a script reads without loss.
    u64::try_from(time.as_millis())
        .unwrap_or(u64::MAX)
        .min(1 << 52)
}

struct RedisLog {
    shared: Arc<Shared>,
    /// For whatever does not wait for the writer.
    reads: Arc<Line>,
    queue: mpsc::Sender<Command>,
    /// Bytes of drafts that may still be accepted.
    space: Arc<Semaphore>,
    follower: mpsc::UnboundedSender<follower::Command>,
    channels: Arc<RedisChannels>,
    asking: Arc<Asking>,
    session_window: Duration,
    closed: AtomicBool,
    /// `None` once closed.
    writing: Mutex<Option<JoinHandle<()>>>,
    nodes: nodes::Tasks,
    /// The sweeper ends with it.
    _used: Arc<()>,
}

impl RedisLog {
    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(())
    }

    /// Has a command carried out in its place among the drafts, and waits for its answer.
    async fn in_order(&self, command: Cmd) -> Result<Value> {
        let (done, answer) = oneshot::channel();
        let command = Command::Other { command, done };
        self.queue.send(command).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

#[async_trait]
impl Log for RedisLog {
    async fn append(&self, draft: Draft) -> Result<Receipt> {
        self.check_open()?;
        let bytes = u32::try_from(draft.data.get().len()).unwrap_or(u32::MAX);
        let space = self
            .space
            .clone()
            .acquire_many_owned(bytes.saturating_add(OVERHEAD).min(QUEUE_BYTES))
            .await
            .map_err(|_| closed())?;
        let (settle, receipt) = Receipt::new();
        let append = Command::Append {
            draft,
            settle,
            space,
        };
        self.queue.send(append).await.map_err(|_| closed())?;
        Ok(receipt)
    }

    async fn read(&self, room: &RoomKey, range: Range, size: PageSize) -> Result<Page> {
        self.check_open()?;
        let now = (self.shared.clock)();
        let keep = self.shared.retention.keep(&room.room);
        let (way, seq) = match range {
            Range::After(seq) => ("after", seq),
            Range::Before(seq) => ("before", seq),
            Range::Last => ("last", Seq(0)),
        };
        let mut command = scripts::read([
            &keys::room(room),
            &keys::messages(room),
            &keys::rooms(Part::of(room)),
        ]);
        command
            .arg(now.0)
            .arg(Epoch::fresh().as_str())
            .arg(keys::name(room))
            .arg(keep.cutoff(now).0)
            .arg(now.before(DAY).0)
            .arg(self.shared.forget(keep))
            .arg(way)
            .arg(number(seq.0))
            .arg(number(size.messages as u64))
            .arg(number(size.bytes as u64));
        let answer = self.reads.ask(command).await?;
        pages::read_page(room, answer, way != "after")
    }

    async fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
    ) -> Result<Missed> {
        self.check_open()?;
        let keep = self.shared.retention.keep(&room.room);
        let cutoff = keep.cutoff((self.shared.clock)());
        let command = pages::missed(room, after, until, size, cutoff);
        pages::read_missed(room, self.reads.ask(command).await?)
    }

    async fn offset(&self, _: &Namespace) -> Result<Offset> {
        self.check_open()?;
        let mut command = redis::cmd("GET");
        command.arg(keys::offset(Part::FIRST));
        let offset: Option<u64> = line::read_as(self.reads.ask(command).await?)?;
        Ok(Offset(offset.unwrap_or(0)))
    }

    fn life(&self) -> Epoch {
        self.shared.life()
    }

    async fn ready(&self) -> Result<()> {
        self.check_open()?;
        self.reads.ask(redis::cmd("PING")).await.map(|_| ())
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Held to the end, so that a second call returns when the first one is done.
        let mut writing = self.writing.lock().await;
        let Some(writing) = writing.take() else {
            return;
        };
        // Fails only if the writer has ended.
        let _ = self.queue.send(Command::Close).await;
        if writing.await.is_err() {
            tracing::error!("the task that writes the log had failed");
        }
        self.nodes.close(&self.shared, &self.reads).await;
        // Fails only if the follower has ended.
        let _ = follower::ask(&self.follower, follower::Command::Close).await;
        self.channels.close();
    }
}

#[async_trait]
impl Bus for RedisLog {
    async fn send(&self, event: Arc<Ephemeral>, except: Option<ConnectionId>) -> Result<()> {
        self.check_open()?;
        let mut publish = redis::cmd("PUBLISH");
        publish
            .arg(keys::channel(&event.room))
            .arg(entry::write_ephemeral(&event, except));
        self.reads.ask(publish).await.map(|_| ())
    }

    async fn delivered(&self) {
        let (reached, waiting) = oneshot::channel();
        let reach = follower::Command::Reach(reached);
        if self.follower.send(reach).is_ok() {
            // A stream that ends meanwhile delivers nothing more either.
            let _ = waiting.await;
        }
    }

    fn follow(&self, room: &RoomKey) -> Following {
        let (done, answer) = oneshot::channel();
        let follow = follower::Command::Follow(room.clone(), done);
        let asked = self.follower.send(follow);
        Box::pin(async move {
            asked.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        })
    }

    fn unfollow(&self, room: &RoomKey) {
        // A follower that has ended follows nothing.
        let _ = self
            .follower
            .send(follower::Command::Unfollow(room.clone()));
    }
}
