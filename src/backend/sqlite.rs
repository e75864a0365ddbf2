//! The embedded log: one SQLite file in a folder of its own, safe against being killed at any moment.
//!
//! One thread writes, and takes everything that waits into one transaction; reads are served from memory or by threads
//! of their own and never wait for it. Knows nothing of other nodes.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};

use crate::{
    backend::{
        Backend, Clock, DEFAULT_IDEMPOTENCY_WINDOW, DEFAULT_SESSION_WINDOW, Deliveries, Delivery,
        Draft, Health as Checks, LocalBus, Log, LogTime, Missed, Page, PageSize, Range, Receipt,
        Retention, Synchronous, clock, closed, deliveries, epoch, hot_cache::HotCache, retention,
    },
    error::{Error, Result},
    model::{Epoch, Namespace, Offset, RoomKey},
};

mod health;
mod migration;
mod offsets;
mod probes;
mod read_markers;
mod reader;
mod room_table;
mod schema;
mod sessions;
#[cfg(test)]
pub(in crate::backend) mod tests;
mod trim;
mod witness;
mod writer;

use health::Health;
use offsets::Offsets;
use probes::Probes;
use reader::{Found, Gap, Read, Readers, Request};
use room_table::RoomTable;
pub use schema::OpenError;
use trim::Pass;
use witness::Witness;
use writer::{Command, Writer};

/// How many commands may wait for the writer, and how many bytes of drafts, before appends wait too.
const QUEUE: usize = 4096;
const QUEUE_BYTES: u32 = 32 << 20;

/// How long a connection waits for one of another process, such as a backup, before it gives up.
const BUSY: Duration = Duration::from_secs(5);

/// Where an embedded log is and what it keeps.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// Its folder, created if need be; the file in it is `switchboard.db`.
    pub folder: PathBuf,
    /// How sure a commit is.
    pub synchronous: Synchronous,
    /// How many threads read.
    pub readers: usize,
    /// How many bytes of the newest messages are held in memory.
    pub hot_bytes: usize,
    /// How much of each room is kept.
    pub retention: Retention,
    /// How long an id can be repeated.
    pub idempotency: Duration,
    /// How long a session that has ended can be resumed.
    pub session_window: Duration,
}

impl SqliteConfig {
    /// A log in `folder` with defaults for the rest: full safety, 2 readers, 64 MiB in memory.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            synchronous: Synchronous::Full,
            readers: 2,
            hot_bytes: 64 << 20,
            retention: Retention::default(),
            idempotency: DEFAULT_IDEMPOTENCY_WINDOW,
            session_window: DEFAULT_SESSION_WINDOW,
        }
    }
}

/// Opens the log in `config.folder`, creating it if there is none.
///
/// # Errors
/// If the folder cannot be used, another process has the log open, or the file there is not one of ours.
pub fn open(config: SqliteConfig) -> Result<(Backend, Deliveries), OpenError> {
    let (log, stream, deliveries) = open_with(config, BUSY, None)?;
    let log = Arc::new(log);
    let backend = Backend {
        read_markers: log.clone(),
        sessions: log.clone(),
        cluster: None,
        pubsub: None,
        health: log.checks.clone(),
        log,
        bus: Arc::new(LocalBus::new(stream)),
    };
    Ok((backend, deliveries))
}

fn open_with(
    config: SqliteConfig,
    busy: Duration,
    clock: Option<Clock>,
) -> Result<(SqliteLog, mpsc::Sender<Delivery>, Deliveries), OpenError> {
    let mut witness = Witness::new(schema::lock(&config.folder)?);
    let path = config.folder.join("switchboard.db");
    let db = schema::writer(&path, config.synchronous, busy)?;
    let failed = |source| OpenError::database(&path, source);
    let aged = schema::aged(&db).map_err(failed)?;
    let clock = clock.unwrap_or_else(|| clock::system_clock(aged));
    sessions::end_all(&db, clock()).map_err(failed)?;
    let offsets = Arc::new(Offsets::load(&db).map_err(failed)?);
    witness.check(&db, offsets.total()).map_err(failed)?;
    let incarnation = schema::incarnation(&db).map_err(failed)?;
    let mut checks = Checks::default();
    let health = Arc::new(Health::new(&mut checks));
    let (readers, mut threads) = Readers::start(&path, config.readers, busy, &health)?;
    let (queue, commands) = mpsc::channel(QUEUE);
    let (stream, deliveries) = deliveries();
    let tail = Arc::new(HotCache::new(config.hot_bytes));
    let writer = Writer {
        db,
        queue: commands,
        rooms: RoomTable::new(
            config.retention.clone(),
            config.idempotency,
            incarnation.clone(),
        ),
        pass: Pass::new(config.session_window),
        tail: tail.clone(),
        offsets: offsets.clone(),
        stream: stream.clone(),
        health: health.clone(),
        clock: clock.clone(),
        incarnation: incarnation.clone(),
        witness,
    };
    threads.push(spawn("log-writer", || writer.run())?);
    let (running, stop) = std::sync::mpsc::channel();
    let trims = queue.clone();
    let time = clock.clone();
    threads.push(spawn("log-trimmer", move || {
        trim_forever(&trims, &stop, &time);
    })?);
    let readers = Arc::new(readers);
    let probes = Arc::new(Probes::new(&queue, &readers, &health));
    tokio::spawn(probes::run(Arc::downgrade(&probes), health.clone()));
    let log = SqliteLog {
        probes,
        checks: Arc::new(checks),
        queue,
        space: Arc::new(Semaphore::new(QUEUE_BYTES as usize)),
        readers,
        tail,
        offsets,
        incarnation,
        #[cfg(test)]
        health,
        clock,
        retention: config.retention,
        session_window: config.session_window,
        closed: AtomicBool::new(false),
        threads: Mutex::new(Some(Threads {
            all: threads,
            running,
        })),
    };
    Ok((log, stream, deliveries))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(OpenError::Threads)
}

/// Asks the writer for one small step after another, until the other end of `stop` is dropped.
fn trim_forever(
    queue: &mpsc::Sender<Command>,
    stop: &std::sync::mpsc::Receiver<()>,
    clock: &Clock,
) {
    use std::sync::mpsc::RecvTimeoutError;

    let mut rest = retention::trim_delay(false, Duration::ZERO);
    while stop.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
        let begun = Instant::now();
        let (done, answer) = oneshot::channel();
        let now = clock();
        if queue.blocking_send(Command::Trim { now, done }).is_err() {
            return;
        }
        // A failed step was reported by the writer; the next pass tries again.
        let more = matches!(answer.blocking_recv(), Ok(Ok(true)));
        rest = retention::trim_delay(more, begun.elapsed());
    }
}

struct SqliteLog {
    probes: Arc<Probes>,
    checks: Arc<Checks>,
    queue: mpsc::Sender<Command>,
    /// Bytes of drafts that may still be accepted.
    space: Arc<Semaphore>,
    readers: Arc<Readers>,
    tail: Arc<HotCache>,
    offsets: Arc<Offsets>,
    incarnation: Epoch,
    #[cfg(test)]
    health: Arc<Health>,
    clock: Clock,
    retention: Retention,
    session_window: Duration,
    closed: AtomicBool,
    /// `None` once closed.
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    all: Vec<JoinHandle<()>>,
    /// Stops the trimmer when it is dropped.
    running: std::sync::mpsc::Sender<()>,
}

impl SqliteLog {
    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(())
    }

    /// Asks the writer and waits for its answer.
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        let (done, answer) = oneshot::channel();
        self.queue.send(ask(done)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// What a read from the database teaches the rest: which message is the oldest, and that the room is in use.
    fn learn(&self, request_room: &RoomKey, found: &Found, now: LogTime) {
        if let Some(ts) = found.oldest_ts {
            self.tail
                .learn(request_room, &found.page.epoch, found.page.oldest, ts);
        } else if self
            .retention
            .policy(&request_room.room)
            .needs_touch(found.ts, now)
        {
            // If the writer is busy, a later read will do.
            let room = request_room.clone();
            let _ = self.queue.try_send(Command::Visit { room });
        }
    }

    /// Takes away everything that is not to be kept at `now`.
    #[cfg(test)]
    pub(super) async fn trim(&self, now: crate::model::Timestamp) -> Result<()> {
        let now = now.into();
        while self.ask(|done| Command::Trim { now, done }).await? {}
        Ok(())
    }
}

#[async_trait]
impl Log for SqliteLog {
    async fn append(&self, draft: Draft) -> Result<Receipt> {
        self.check_open()?;
        let bytes = u32::try_from(draft.data.get().len()).unwrap_or(u32::MAX);
        let space = self
            .space
            .clone()
            .acquire_many_owned(bytes.min(QUEUE_BYTES))
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
        let now = (self.clock)();
        let keep = self.retention.policy(&room.room);
        // A room that has become empty is looked up, so that its being read is noted.
        if let Some(page) = self.tail.page(room, range, size, keep.cutoff(now))
            && page.oldest <= page.head
        {
            return Ok(page);
        }
        let request = Request {
            room: room.clone(),
            range,
            size,
            keep,
            now,
        };
        match self.readers.read(request).await? {
            Read::Found(found) => {
                self.learn(room, &found, now);
                Ok(found.page)
            }
            Read::Unwritten { forgotten } => {
                let epoch = epoch::derive(&self.incarnation, room, forgotten);
                Ok(Page::unwritten(epoch))
            }
        }
    }

    async fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
    ) -> Result<Missed> {
        self.check_open()?;
        if self.offsets.of(&room.namespace) <= after {
            return Ok(Missed::nothing());
        }
        let keep = self.retention.policy(&room.room);
        let cutoff = keep.cutoff((self.clock)());
        if let Some(missed) = self.tail.missed(room, after, until, size, cutoff) {
            return Ok(missed);
        }
        let gap = Gap {
            room: room.clone(),
            after,
            until,
            size,
            cutoff,
        };
        self.readers.missed(gap).await
    }

    async fn last_offset(&self, namespace: &Namespace) -> Result<Offset> {
        self.check_open()?;
        Ok(self.offsets.of(namespace))
    }

    fn incarnation(&self) -> Epoch {
        self.incarnation.clone()
    }

    async fn ready(&self) -> Result<()> {
        self.check_open()?;
        if self.queue.is_closed() {
            return Err(Error::unavailable("the log has failed; restart the server"));
        }
        self.probes.look().await;
        self.checks.ensure_passing()
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Held to the end, so that a second call returns when the first one is done.
        let mut threads = self.threads.lock().await;
        let Some(Threads { all, running }) = threads.take() else {
            return;
        };
        drop(running);
        self.readers.stop().await;
        // Fails only if the writer has ended.
        let _ = self.queue.send(Command::Close).await;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in all {
                if thread.join().is_err() {
                    tracing::error!("a thread of the log had failed");
                }
            }
        });
        let _ = joined.await;
    }
}
