//! A log that several nodes share, in one Redis or Valkey, or in a Cluster of them.
//!
//! One script is one step: it drops a repeat, numbers a message in its room (`seq`) and over all rooms (`offset`), stores it
//! and publishes it. A node listens only to the rooms that it follows.
//!
//! # Lanes
//!
//! Rooms and sessions are spread over sixteen parts (`keys`). In a Cluster the parts lie on its servers, and each is a **lane**:
//! a counter of offsets, a writer, a follower with a connection of its own, a line for reads. One Redis is one lane for all.
//! So a server that is away, stands still, is replaced or gives up a part stops only what is in its parts: connections lead to
//! whoever has a part (`site`), and look for it again when they are lost or sent elsewhere. While a part moves, it is refused.
//!
//! # The order of deliveries
//!
//! The hub relies on this: messages of a namespace come in the order of their offsets, and whatever is newer than the answer
//! of [`Log::offset`] comes later. In a lane:
//!
//! - Redis carries out one script after another, and a script publishes in the same step in which it takes the offset. All
//!   rooms of the lane that a node follows come through one connection. So as long as that connection lasts, what comes is in
//!   the order of offsets over all of them, and nothing is missing. Offsets that do not come belong to rooms that are not
//!   followed, and nobody waits for them: what is missing shows in a room's own numbers, which have no holes.
//! - What is lost is lost with the connection, or because more waited here than may wait, or without a word. Whichever it
//!   was, the follower **compares**: while it listens already, it asks for the lane's last offset, the *end*, and for
//!   the last offset of each room that it follows. Rooms that have more than was delivered are read up to the end, all
//!   together, and delivered in the order of offsets. Whatever is newer than the end is published after the node began to
//!   listen, so it waits in the queue or comes; whatever waits there and is not newer was just read, and is known by its
//!   offset. It compares after every new connection, when a number of a room is left out, and when something was let go.
//!   Now and then it only looks where rooms end, says a word on its own channel, and compares if something is still missing
//!   when the word comes back: what was merely on its way has come by then.
//! - A room is followed from where it ended just after its channel was heard. What is older is never delivered: whoever wants
//!   it reads the log after [`Bus::follow`] has returned.
//!
//! Over several lanes offsets are Lamport clocks (`order`): a message gets the next one above both its lane's last and the
//! highest that the node which writes it has seen anywhere, and with the remainder of its lane, so that no two are equal.
//! The merger makes one stream of all lanes:
//!
//! - A message goes out once every other lane in which this node follows rooms is known to be past it: by a message of its
//!   own, or because it was asked. To be asked is to be raised to whatever was seen anywhere, and to say that on the node's own
//!   channel there: when the word comes back, everything lower has come before it, and what comes later is higher. What
//!   arrives while a lane is asked is covered by the next question, so a busy node asks a quiet lane a thousand times a second
//!   at most, and a message takes one turn to Redis more than in one lane.
//! - A lane in which the first room begins to be followed is raised in the same way, after the merger has begun to count it
//!   and before the room's end is looked at: so nothing comes from it behind what has gone out.
//! - Events that are not kept, and marks, keep their place in their lane.
//! - [`Log::offset`] asks all lanes, takes the highest, and raises all to it. So it is refused while any of them is away.
//! - While a lane with followed rooms is away, what other lanes bring waits, as much as may, and what is more is read later.
//!   Messages are stored in them all the same; their receipts are settled as soon as it shows that they would wait long.
//!
//! Drafts of one connection to rooms in different lanes may be stored in another order than they were accepted.
//!
//! Two things are weaker. If Redis left out a message on a connection that lasts (it does not; a slow listener is cut off), it
//! is found late and comes behind messages of other rooms that have higher offsets. And what a room no longer keeps cannot be
//! read: of a room that keeps nothing, what is sent while a node is cut off does not come, and what waits in the queue while
//! it compares may come behind other rooms' messages with higher offsets.
//!
//! # What is waited for
//!
//! A receipt is settled when the message was put on the hub's stream, if this node follows the room; while Redis cannot
//! be listened to, as soon as an attempt to connect has failed; and within two seconds if another lane holds it up. An event that is not kept is put on this node's stream by the
//! follower and published by the writer, and so keeps its place behind messages that were settled before it was sent; this
//! node's members get it whether or not Redis is there.
//!
//! # What is assumed
//!
//! Redis does not lose what it has acknowledged: it writes an append-only file (`appendonly yes`), and sure to survive a loss
//! of power is only what was synchronised (`appendfsync`); a replica that takes over has what it was given (`WAIT` is not
//! used). If a lane's offsets fall behind what a node knows that it had all the same, which is noticed when that node writes,
//! asks, compares or looks (each second), numbering goes on well above them, and the log begins another life: in the lane that has lost
//! something another incarnation, in which every room has another epoch. What only one node knew can be written over by others until
//! that one is connected again: a moment, of what was stored within a second before. Messages that were stored before anybody noticed may not be delivered, only kept. Nodes that have kept their
//! connections learn of another life within seconds. Clocks of nodes may differ by seconds: a message leaves the log by the
//! clock that is ahead.
//!
//! A Cluster whose parts are not all covered stops as a whole unless it is told otherwise (`cluster-require-full-coverage no`).

use std::{
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use redis::{RedisError, Value};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    Backend, Bus, Clock, DEFAULT_IDEMPOTENCY_WINDOW, DEFAULT_SESSION_WINDOW, Deliveries, Delivery,
    Draft, Health, Log, Missed, Page, PageSize, Range, Receipt, Retention, RetentionPolicy,
    Subscribing, clock, closed, deliveries, epoch, retention::ROOM_TOUCH_INTERVAL,
};
use crate::{
    config::SecretUrl,
    error::{Error, Result},
    model::{ConnectionId, Ephemeral, Epoch, Namespace, NodeId, Offset, RoomKey, Seq, Timestamp},
};

mod asking;
mod channels;
mod entry;
mod follower;
mod identity;
mod inflow;
mod keys;
mod lanes;
mod line;
mod marks;
mod merger;
mod nodes;
mod order;
mod others;
mod pages;
mod probe;
mod scripts;
mod sessions;
mod site;
mod sweep;
#[cfg(test)]
pub(in crate::backend) mod tests;
mod writer;

use asking::Asking;
use channels::RedisChannels;
use keys::{Keys, Part};
use lanes::{Lanes, Reads};
use line::{Line, Lost};
use others::Others;
use probe::Probes;
use site::Site;
use sweep::Sweeper;
use writer::Command;

/// How many bytes of drafts and events may be under way before whoever sends waits, too.
const QUEUE_BYTES: u32 = 32 << 20;

/// How long it may take to begin to follow a room before whoever waits is told that it will take longer.
const FOLLOWED: Duration = Duration::from_secs(5);

/// What a draft costs besides its data.
const OVERHEAD: u32 = 512;

/// How long a node counts as alive, and its users as there once it has stopped, by default.
const LEASE: Duration = Duration::from_secs(15);
const GRACE: Duration = Duration::from_secs(5);

/// Where a shared log is and what it keeps.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// One Redis, `redis://[user:password@]host[:port]`, or nodes of a Cluster, with commas between them: one that answers
    /// is enough. `rediss://` is over TLS.
    pub url: SecretUrl,
    /// What all keys and channels begin with: deployments with other prefixes have nothing in common.
    pub prefix: String,
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
    pub fn new(url: impl Into<SecretUrl>) -> Self {
        Self {
            url: url.into(),
            prefix: keys::PREFIX.to_owned(),
            retention: Retention::default(),
            idempotency: DEFAULT_IDEMPOTENCY_WINDOW,
            session_window: DEFAULT_SESSION_WINDOW,
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
    #[error(
        "this is no address of a Redis; write redis://host:port, several with commas between them for a Cluster"
    )]
    Url(#[source] RedisError),
    /// Redis is not there, or refuses.
    #[error("Redis cannot be used; start it, or correct its address, user or password")]
    Away(#[source] Error),
    /// Several addresses of servers that are no Cluster.
    #[error("several addresses of Redis are those of a Cluster, and these are not; name one")]
    Several,
    /// Its databases have their channels in common: nodes in one would be given what is sent in another.
    #[error(
        "channels of Redis are the same in all its numbered databases, so another one would not keep nodes apart; leave out the /db of its address, and give nodes that have nothing to do with each other another redis.prefix"
    )]
    Database,
}

/// Opens the log at `config.url`, beginning one if there is none.
///
/// # Errors
/// If the address is wrong or Redis cannot be reached: a node that has never seen it could not tell which log it is of.
pub async fn open(config: RedisConfig) -> Result<(Backend, Deliveries), OpenError> {
    let (log, _, deliveries) = open_with(config, None).await?;
    let log = Arc::new(log);
    let backend = Backend {
        read_markers: log.clone(),
        sessions: log.clone(),
        cluster: Some(log.clone()),
        pubsub: Some(log.channels.clone()),
        health: log.health.clone(),
        bus: log.clone(),
        log,
    };
    Ok((backend, deliveries))
}

async fn open_with(
    config: RedisConfig,
    clock: Option<Clock>,
) -> Result<(RedisLog, mpsc::Sender<Delivery>, Deliveries), OpenError> {
    let site = Arc::new(Site::find(config.url.expose()).await?);
    let reads = Arc::new(Reads::new(&site));
    let keys = Keys::new(&config.prefix);
    let life = begin(&keys, &reads, &site, config.lease).await;
    let life = life.map_err(OpenError::Away)?;
    let clock = match clock {
        Some(clock) => clock,
        None => {
            let aged = aged(&keys, reads.of(Part::FIRST)).await;
            clock::system_clock(aged.map_err(OpenError::Away)?)
        }
    };
    let shared = Arc::new(Shared {
        site,
        keys,
        clock,
        retention: config.retention,
        idempotency: config.idempotency,
        life: StdMutex::new(life),
        node: NodeId::fresh(),
        others: Others::default(),
        leased: watch::channel(()).0,
        book: nodes::Book::default(),
    });
    let nodes = nodes::begin(&shared, &reads, config.lease, config.grace);
    let nodes = nodes.await.map_err(OpenError::Away)?;
    let (stream, deliveries) = deliveries();
    let mut health = Health::default();
    let lanes = Lanes::start(&shared, &reads, &mut health, stream.clone());
    let used = Arc::new(());
    let probes = Probes::new(&shared, &reads, lanes.writes());
    probes.start(&Arc::downgrade(&used));
    let sweeper = Sweeper {
        shared: shared.clone(),
        reads: reads.clone(),
        session_window: config.session_window,
    };
    tokio::spawn(sweeper.run(Arc::downgrade(&used)));
    let channels = Arc::new(RedisChannels::open(shared.clone()));
    let log = RedisLog {
        asking: Asking::begin(shared.clone(), channels.clone(), stream.clone()).await,
        channels,
        shared,
        reads,
        lanes,
        probes,
        health: Arc::new(health),
        space: Arc::new(Semaphore::new(QUEUE_BYTES as usize)),
        session_window: config.session_window,
        closed: AtomicBool::new(false),
        nodes,
        _used: used,
    };
    Ok((log, stream, deliveries))
}

/// Settles which log this is, for a node that starts, and names its life.
async fn begin(keys: &Keys, reads: &Reads, site: &Site, lease: Duration) -> Result<Epoch> {
    let first = reads.of(Part::FIRST);
    // An operator who has put Redis back to older data takes the name away. Looked at before a name is made: once there is one,
    // other nodes that start begin logs under it.
    let mut lanes = identity::with_a_log(keys, reads, lanes::parts(site)).await?;
    let (_, is_new) = find_life(keys, first).await?;
    for (_, is_other) in &mut lanes {
        *is_other &= is_new;
    }
    identity::settle(keys, reads, lanes, 2 * lease).await?;
    life(keys, first).await
}

/// The name of the log's life: whoever comes first makes it. Where there is one nothing is written: this is asked again and again,
/// of a Redis that takes no writes, too.
async fn life(keys: &Keys, reads: &Line) -> Result<Epoch> {
    find_life(keys, reads).await.map(|(life, _)| life)
}

/// The same, and whether it was made now.
async fn find_life(keys: &Keys, reads: &Line) -> Result<(Epoch, bool)> {
    let mut get = redis::cmd("GET");
    get.arg(keys.life());
    let life: Option<String> = line::read_as(reads.ask(get.clone()).await?)?;
    if let Some(life) = life {
        return Ok((Epoch::from_text(&life), false));
    }
    let mut make = redis::cmd("SET");
    make.arg(keys.life()).arg(Epoch::fresh().as_str()).arg("NX");
    let answers = reads.run(&[make, get], Lost::Repeat).await?;
    let [made, life] = <[_; 2]>::try_from(answers).unwrap_or_default();
    let made = line::checked(made)?;
    let life: String = line::read_as(life)?;
    Ok((Epoch::from_text(&life), made != Value::Nil))
}

/// The time of retention, as a node kept it last.
async fn aged(keys: &Keys, reads: &Line) -> Result<Option<Timestamp>> {
    let mut get = redis::cmd("GET");
    get.arg(keys.aged());
    // Anything else than a number is as none.
    let aged = redis::from_redis_value::<Option<u64>>(reads.ask(get).await?);
    Ok(aged.ok().flatten().map(Timestamp))
}

/// Has the log begin another life: what was numbered in the one before may be gone.
async fn begin_life(keys: &Keys, reads: &Line) -> Result<Epoch> {
    let life = Epoch::fresh();
    let mut make = redis::cmd("SET");
    make.arg(keys.life()).arg(life.as_str());
    reads.ask(make).await?;
    Ok(life)
}

/// What the tasks of a node have in common.
struct Shared {
    site: Arc<Site>,
    keys: Keys,
    clock: Clock,
    retention: Retention,
    idempotency: Duration,
    // A std mutex: it is held to copy a name, and never across an await.
    life: StdMutex<Epoch>,
    node: NodeId,
    others: Others,
    /// This node has taken a lease that it did not have.
    leased: watch::Sender<()>,
    /// What this node has of users in rooms.
    book: nodes::Book,
}

impl Shared {
    /// How long an empty room is remembered when nobody uses it: longer than any id that it was sent.
    fn forget(&self, keep: RetentionPolicy) -> u64 {
        millis(keep.room_ttl().max(self.idempotency))
    }

    /// The parts of the lane that is named after one.
    fn parts_of(&self, part: Part) -> impl Iterator<Item = Part> + use<> {
        let one = self.site.is_cluster();
        Part::all().filter(move |other| !one || *other == part)
    }

    /// How many lanes there are.
    fn lanes(&self) -> usize {
        lanes::parts(&self.site).count()
    }

    /// How scripts publish: in a Cluster, only to the node that has the channel's part.
    fn publish(&self) -> &'static str {
        match self.site.is_cluster() {
            true => "SPUBLISH",
            false => "PUBLISH",
        }
    }

    /// How a channel is listened to, and no more.
    fn listening(&self) -> (&'static str, &'static str) {
        match self.site.is_cluster() {
            true => ("SSUBSCRIBE", "SUNSUBSCRIBE"),
            false => ("SUBSCRIBE", "UNSUBSCRIBE"),
        }
    }

    fn incarnation(&self) -> Epoch {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        life.clone()
    }

    /// Notes which life of the log this is.
    fn live(&self, life: Epoch) {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = life;
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
    /// For whatever does not wait for the writers.
    reads: Arc<Reads>,
    lanes: Lanes,
    probes: Arc<Probes>,
    health: Arc<Health>,
    /// Bytes of drafts and events that may still be accepted.
    space: Arc<Semaphore>,
    channels: Arc<RedisChannels>,
    asking: Arc<Asking>,
    session_window: Duration,
    closed: AtomicBool,
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

    /// Waits until so many bytes may be under way.
    async fn space(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let cost = bytes.saturating_add(OVERHEAD).min(QUEUE_BYTES);
        let space = self.space.clone().acquire_many_owned(cost);
        space.await.map_err(|_| closed())
    }
}

#[async_trait]
impl Log for RedisLog {
    async fn append(&self, draft: Draft) -> Result<Receipt> {
        self.check_open()?;
        let space = self.space(draft.data.get().len()).await?;
        let queue = &self.lanes.of(Part::of(&draft.room)).queue;
        let (settle, receipt) = Receipt::new();
        let append = Command::Append {
            draft,
            settle,
            space,
        };
        queue.send(append).await.map_err(|_| closed())?;
        Ok(receipt)
    }

    async fn read(&self, room: &RoomKey, range: Range, size: PageSize) -> Result<Page> {
        self.check_open()?;
        let now = (self.shared.clock)();
        let keep = self.shared.retention.policy(&room.room);
        let (way, seq) = match range {
            Range::After(seq) => ("after", seq),
            Range::Before(seq) => ("before", seq),
            Range::Last => ("last", Seq(0)),
        };
        let part = Part::of(room);
        let lane = self.lanes.of(part);
        let mut command = scripts::read([
            &self.shared.keys.room(room),
            &self.shared.keys.messages(room),
            &self.shared.keys.rooms(part),
            &self.shared.keys.incarnation(lane.order.part()),
            &self.shared.keys.forgotten(part),
        ]);
        command
            .arg(now.retention_clock.0)
            .arg(Epoch::fresh().as_str())
            .arg(keys::name(room))
            .arg(epoch::slot(room))
            .arg(keep.cutoff(now).0)
            .arg(now.retention_clock.before(ROOM_TOUCH_INTERVAL).0)
            .arg(way)
            .arg(number(seq.0))
            .arg(number(size.messages as u64))
            .arg(number(size.bytes as u64));
        let answer = self.reads.of(part).ask(command).await?;
        let page = pages::read_page(room, answer, way != "after")?;
        lane.order.know(page.offset);
        Ok(page)
    }

    async fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
    ) -> Result<Missed> {
        self.check_open()?;
        let keep = self.shared.retention.policy(&room.room);
        let cutoff = keep.cutoff((self.shared.clock)());
        let command = pages::missed(&self.shared.keys, room, after, until, size, cutoff);
        let answer = self.reads.of(Part::of(room)).ask(command).await?;
        pages::read_missed(room, answer)
    }

    async fn last_offset(&self, _: &Namespace) -> Result<Offset> {
        self.check_open()?;
        self.lanes.end().await
    }

    fn incarnation(&self) -> Epoch {
        self.shared.incarnation()
    }

    async fn ready(&self) -> Result<()> {
        self.check_open()?;
        self.probes.look().await;
        self.health.ensure_passing()
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.asking.say_goodbye();
        self.nodes.close(&self.shared, &self.reads).await;
        self.lanes.close().await;
        for lane in lanes::parts(&self.shared.site) {
            let keys = &self.shared.keys;
            if let Err(error) = identity::note_stop(keys, &self.reads, lane).await {
                tracing::debug!(%error, "it cannot be noted where the log was at the end");
            }
        }
        self.channels.close();
    }
}

#[async_trait]
impl Bus for RedisLog {
    async fn send(&self, event: Arc<Ephemeral>, except: Option<ConnectionId>) -> Result<()> {
        self.check_open()?;
        let text = entry::write_ephemeral(&event, except, self.shared.node);
        let space = Arc::new(self.space(text.len()).await?);
        let lane = self.lanes.of(Part::of(&event.room));
        let mut command = redis::cmd(self.shared.publish());
        command.arg(self.shared.keys.channel(&event.room)).arg(text);
        let publish = Command::Publish {
            command,
            space: space.clone(),
        };
        // Nobody waits for what is not kept: while Redis is away or behind, only this node's members get it.
        if lane.queue.try_send(publish).is_err() {
            tracing::debug!(room = %event.room.room, "an event was not published: too much waits for Redis");
        }
        let send = follower::Command::Send(event, except, space);
        lane.follower.send(send).map_err(|_| closed())
    }

    async fn flush(&self) {
        self.lanes.delivered().await;
    }

    fn subscribe(&self, room: &RoomKey) -> Subscribing {
        let (done, answer) = oneshot::channel();
        let follow = follower::Command::Follow(room.clone(), done);
        let asked = self.lanes.of(Part::of(room)).follower.send(follow);
        Box::pin(async move {
            asked.map_err(|_| closed())?;
            match timeout(FOLLOWED, answer).await {
                Ok(answer) => answer.map_err(|_| closed())?,
                Err(_) => Err(follower::deaf()),
            }
        })
    }

    fn unsubscribe(&self, room: &RoomKey) {
        // A follower that has ended follows nothing.
        let unfollow = follower::Command::Unfollow(room.clone());
        let _ = self.lanes.of(Part::of(room)).follower.send(unfollow);
    }
}
