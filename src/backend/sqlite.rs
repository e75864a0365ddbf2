//! The embedded log: one SQLite file in a folder of its own, safe against being killed at any moment.
//!
//! One thread writes and takes everything queued into one transaction; reads are served from the hot cache or by reader
//! threads, and never wait for the writer. The SQL is in [`tables`], which knows no threads; the threads are
//! [`writer`], [`reader`] and [`trimmer`]. Knows nothing of other nodes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{Mutex, Notify, Semaphore, mpsc};

use crate::{
    backend::{
        Backend, Clock, DEFAULT_IDEMPOTENCY_WINDOW, DEFAULT_OUTBOX_EVENTS, DEFAULT_SESSION_WINDOW,
        Deliveries, Health, Retention, Synchronous, clock, deliveries, hot_cache::HotCache,
    },
    model::Timestamp,
    progress::{self, LogLines, Progress},
};

mod checkpoints;
mod commands;
mod commits;
pub mod compact;
mod document_change;
mod documents;
mod group_commit;
mod health;
mod log;
mod long_statements;
mod member_changes;
mod migration;
mod offsets;
mod outbox;
mod outbox_page;
mod outbox_table;
mod probes;
mod progress_file;
mod publisher;
mod queries;
mod read_markers;
mod reader;
mod room_table;
mod schema;
mod sessions;
mod tables;
#[cfg(test)]
pub(in crate::backend) mod tests;
mod threads;
mod transaction;
mod trim;
mod trimmer;
mod unwritten;
mod writer;

use checkpoints::Checkpoints;
use commits::Commits;
use group_commit::GroupCommit;
use health::FileHealth;
use log::{MAX_QUEUED_BYTES, SqliteLog, Threads};
use member_changes::MemberChanges;
use offsets::Offsets;
use outbox_table::OutboxTable;
use probes::FileProbes;
use progress_file::ProgressFile;
use publisher::{InMemory, Publisher, SqliteBus};
use reader::ReaderPool;
use room_table::RoomTable;
pub use schema::OpenError;
use tables::{log_state, outbox as outbox_rows, sessions as session_table};
use threads::spawn;
use trim::TrimPass;
use unwritten::UnwrittenRooms;
use writer::LogWriter;

/// How many commands may be queued for the writer before callers wait.
const MAX_QUEUED_COMMANDS: usize = 4096;

/// The name of the database file in its folder.
const FILE: &str = "switchboard.db";

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
    /// How many events the outbox keeps.
    pub outbox_events: usize,
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
            outbox_events: DEFAULT_OUTBOX_EVENTS,
        }
    }
}

/// Migrates the log in `folder` if an earlier version wrote it, and closes it again: for those who want to show how far that is,
/// or to interrupt it. [`open`] does the same, and logs the progress.
///
/// # Errors
/// As [`open`]; with [`OpenError::Interrupted`] if the progress is cancelled. The file is as it was then.
pub fn migrate(folder: &Path, progress: &Arc<Progress>) -> Result<(), OpenError> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(());
    }
    let _lock = schema::lock_folder(folder)?;
    schema::open_writer(&path, Synchronous::Full, BUSY_TIMEOUT, progress).map(drop)
}

/// Opens the log in `config.folder`, and creates it if there is none.
///
/// # Errors
/// Fails if the folder cannot be used, another process has the log open, or the file there is not one of ours.
pub fn open(config: SqliteConfig) -> Result<(Backend, Deliveries), OpenError> {
    let (log, bus, deliveries) = open_with(config, BUSY_TIMEOUT, None)?;
    let log = Arc::new(log);
    let backend = Backend {
        read_markers: log.clone(),
        sessions: log.clone(),
        outbox: log.clone(),
        documents: log.clone(),
        cluster: None,
        pubsub: None,
        health: log.checks.clone(),
        log,
        bus: Arc::new(bus),
    };
    Ok((backend, deliveries))
}

fn open_with(
    config: SqliteConfig,
    busy_timeout: Duration,
    clock: Option<Clock>,
) -> Result<(SqliteLog, SqliteBus, Deliveries), OpenError> {
    let mut progress_file = ProgressFile::new(schema::lock_folder(&config.folder)?);
    let path = config.folder.join(FILE);
    compact::remove_leftover(&path);
    let mut db = open_writer(&path, config.synchronous, busy_timeout)?;
    let failed = |source| OpenError::database(&path, source);
    let retention_clock = log_state::retention_clock(&db).map_err(failed)?;
    let clock = clock.unwrap_or_else(|| clock::system_clock(retention_clock));
    let offsets = begin_process(&db, &mut progress_file, clock().now).map_err(failed)?;
    let incarnation = log_state::incarnation(&db).map_err(failed)?;
    let mut checks = Health::default();
    let health = Arc::new(FileHealth::new(&mut checks));
    let commits = Arc::<Commits>::default();
    let (readers, mut threads) = ReaderPool::start(&path, config.readers, busy_timeout, &health)?;
    let (queue, commands) = mpsc::channel(MAX_QUEUED_COMMANDS);
    let (stream, deliveries) = deliveries();
    let cache = Arc::new(HotCache::new(config.hot_bytes));
    let (retention, idempotency) = (config.retention.clone(), config.idempotency);
    let checkpoints = Checkpoints::start(&mut db, &path, config.synchronous, busy_timeout)?;
    let unwritten = Arc::<UnwrittenRooms>::default();
    let (members, outbox_added) = (Arc::<MemberChanges>::default(), Arc::<Notify>::default());
    let in_memory = InMemory {
        cache: cache.clone(),
        unwritten: unwritten.clone(),
        offsets: offsets.clone(),
        outbox_added: outbox_added.clone(),
    };
    let (committed, places, publisher, bus) = Publisher::new(in_memory, stream, commits.clone());
    let writer = LogWriter {
        outbox: OutboxTable::open(&db, config.outbox_events).map_err(failed)?,
        members: members.clone(),
        db,
        queue: commands,
        rooms: RoomTable::new(retention, idempotency, incarnation.clone()),
        trim_pass: TrimPass::new(config.session_window),
        offsets: offsets.clone(),
        commits,
        places,
        committed,
        // While one batch is synced, the next one comes: waiting for more took a tenth of the rate.
        group: (config.synchronous != Synchronous::Full).then(GroupCommit::default),
        checkpoints,
        health: health.clone(),
        clock: clock.clone(),
        incarnation: incarnation.clone(),
        progress: progress_file,
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
        unwritten,
        offsets,
        incarnation,
        #[cfg(test)]
        health,
        clock,
        retention: Arc::new(config.retention),
        members,
        outbox_added,
        session_window: config.session_window,
        closed: AtomicBool::new(false),
        threads: Mutex::new(Some(Threads {
            all: threads,
            publisher: tokio::spawn(publisher.run()),
            stop_trimmer,
        })),
    };
    Ok((log, bus, deliveries))
}

/// Ends what belonged to the process before, finds out whether the file is an older copy, and loads the offsets.
fn begin_process(
    db: &Connection,
    progress_file: &mut ProgressFile,
    now: Timestamp,
) -> rusqlite::Result<Arc<Offsets>> {
    session_table::end_all(db, now)?;
    outbox_rows::begin(db, now)?;
    let offsets = Offsets::load(db)?;
    progress_file.check(db, offsets.total(), now)?;
    Ok(Arc::new(offsets))
}

/// Opens the connection that writes, and logs how far it is if that takes long.
fn open_writer(
    path: &Path,
    synchronous: Synchronous,
    busy_timeout: Duration,
) -> Result<Connection, OpenError> {
    let progress = Arc::default();
    let mut log = LogLines::default();
    progress::watch(&progress, &mut log, progress::SHOWN_AFTER, || {
        schema::open_writer(path, synchronous, busy_timeout, &progress)
    })
}
