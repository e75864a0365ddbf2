//! The embedded log: one SQLite file in a folder of its own, safe against being killed at any moment.
//!
//! One thread writes and takes everything queued into one transaction; reads are served from the hot cache or by reader
//! threads, and never wait for the writer. The SQL is in [`tables`], which knows no threads; the threads are
//! [`writer`], [`reader`] and [`trimmer`]. Knows nothing of other nodes.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::{Mutex, Semaphore, mpsc};

use crate::backend::{
    Backend, Clock, DEFAULT_IDEMPOTENCY_WINDOW, DEFAULT_SESSION_WINDOW, Deliveries, Delivery,
    Health, LocalBus, Retention, Synchronous, clock, deliveries, hot_cache::HotCache,
};

mod commands;
mod health;
mod log;
mod migration;
mod offsets;
mod probes;
mod progress_file;
mod queries;
mod read_markers;
mod reader;
mod room_table;
mod schema;
mod sessions;
mod tables;
#[cfg(test)]
pub(in crate::backend) mod tests;
mod trim;
mod trimmer;
mod writer;

use health::FileHealth;
use log::{MAX_QUEUED_BYTES, SqliteLog, Threads};
use offsets::Offsets;
use probes::FileProbes;
use progress_file::ProgressFile;
use reader::ReaderPool;
use room_table::RoomTable;
pub use schema::OpenError;
use tables::{log_state, sessions as session_table};
use trim::TrimPass;
use writer::LogWriter;

/// How many commands may be queued for the writer before callers wait.
const MAX_QUEUED_COMMANDS: usize = 4096;

/// How long a connection waits for a lock that another process holds, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where an embedded log is and what it keeps.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// Its folder, created if there is none; the file in it is `switchboard.db`.
    pub folder: PathBuf,
    /// How durable a commit is.
    pub synchronous: Synchronous,
    /// How many threads read.
    pub readers: usize,
    /// How many bytes of the newest messages are cached in memory.
    pub hot_bytes: usize,
    /// How much of each room is kept.
    pub retention: Retention,
    /// How long a message id is remembered, so that a repeat of it is not stored twice.
    pub idempotency: Duration,
    /// How long a session that has ended can be resumed.
    pub session_window: Duration,
}

impl SqliteConfig {
    /// A log in `folder` with defaults for the rest: full durability, 2 readers, 64 MiB in memory.
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

/// Opens the log in `config.folder`, and creates it if there is none.
///
/// # Errors
/// Fails if the folder cannot be used, another process has the log open, or the file there is not one of ours.
pub fn open(config: SqliteConfig) -> Result<(Backend, Deliveries), OpenError> {
    let (log, stream, deliveries) = open_with(config, BUSY_TIMEOUT, None)?;
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
    busy_timeout: Duration,
    clock: Option<Clock>,
) -> Result<(SqliteLog, mpsc::Sender<Delivery>, Deliveries), OpenError> {
    let mut progress = ProgressFile::new(schema::lock_folder(&config.folder)?);
    let path = config.folder.join("switchboard.db");
    let db = schema::open_writer(&path, config.synchronous, busy_timeout)?;
    let failed = |source| OpenError::database(&path, source);
    let retention_clock = log_state::retention_clock(&db).map_err(failed)?;
    let clock = clock.unwrap_or_else(|| clock::system_clock(retention_clock));
    session_table::end_all(&db, clock().now).map_err(failed)?;
    let offsets = Arc::new(Offsets::load(&db).map_err(failed)?);
    progress.check(&db, offsets.total()).map_err(failed)?;
    let incarnation = log_state::incarnation(&db).map_err(failed)?;
    let mut checks = Health::default();
    let health = Arc::new(FileHealth::new(&mut checks));
    let (readers, mut threads) = ReaderPool::start(&path, config.readers, busy_timeout, &health)?;
    let (queue, commands) = mpsc::channel(MAX_QUEUED_COMMANDS);
    let (stream, deliveries) = deliveries();
    let cache = Arc::new(HotCache::new(config.hot_bytes));
    let (retention, idempotency) = (config.retention.clone(), config.idempotency);
    let writer = LogWriter {
        db,
        queue: commands,
        rooms: RoomTable::new(retention, idempotency, incarnation.clone()),
        trim_pass: TrimPass::new(config.session_window),
        cache: cache.clone(),
        offsets: offsets.clone(),
        stream: stream.clone(),
        health: health.clone(),
        clock: clock.clone(),
        incarnation: incarnation.clone(),
        progress,
    };
    threads.push(spawn("log-writer", || writer.run())?);
    let (stop_trimmer, stop) = std::sync::mpsc::channel();
    let (trims, time) = (queue.clone(), clock.clone());
    threads.push(spawn("log-trimmer", move || {
        trimmer::run(&trims, &stop, &time);
    })?);
    let readers = Arc::new(readers);
    let probes = Arc::new(FileProbes::new(&queue, &readers, &health));
    tokio::spawn(probes::run(Arc::downgrade(&probes), health.clone()));
    let log = SqliteLog {
        probes,
        checks: Arc::new(checks),
        queue,
        queue_budget: Arc::new(Semaphore::new(MAX_QUEUED_BYTES as usize)),
        readers,
        cache,
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
            stop_trimmer,
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
