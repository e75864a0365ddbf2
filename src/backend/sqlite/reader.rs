//! Reads from the database on a few threads, each with its own connection: in WAL mode they see the last commit and never
//! wait for the transaction in progress.
//!
//! Requests that wait together are served from one transaction: it begins after all of them, so each sees what was committed before
//! it; and a transaction costs more than what most of them read, since after every commit SQLite reads all pages anew.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    health::FileHealth,
    outbox_page::{self, OutboxRequest},
    queries::{self, MissedRequest, PageRequest, RoomRead},
    schema::{self, OpenError},
    tables::{documents, endpoints, read_markers, sessions},
    transaction,
};
use crate::{
    backend::{
        DocumentInfo, Missed, OutboxPage, ReadMarker, StoredDocument, StoredSession, closed,
    },
    error::{Error, Result},
    model::{Pid, RoomKey, RoomName, Timestamp, UserId},
    sync::lock,
};

/// How many reads may be queued before callers wait.
const QUEUED_JOBS: usize = 1024;

/// How many reads share a transaction. While one lasts, the write-ahead log cannot begin anew.
const MAX_SHARING: usize = 32;

enum ReadJob {
    Page(PageRequest, oneshot::Sender<Result<RoomRead>>),
    Missed(MissedRequest, oneshot::Sender<Result<Missed>>),
    Marker(RoomKey, UserId, oneshot::Sender<Result<ReadMarker>>),
    Session(
        Pid,
        Timestamp,
        oneshot::Sender<Result<Option<StoredSession>>>,
    ),
    Outbox(OutboxRequest, oneshot::Sender<Result<OutboxPage>>),
    Endpoint(String, oneshot::Sender<Result<Option<String>>>),
    Document(
        RoomName,
        u64,
        oneshot::Sender<Result<Option<StoredDocument>>>,
    ),
    DocumentInfo(RoomName, oneshot::Sender<Result<Option<DocumentInfo>>>),
    Documents(DocumentSearch, oneshot::Sender<Result<Vec<DocumentInfo>>>),
    HasUntoldDocuments(Timestamp, oneshot::Sender<Result<bool>>),
    /// Find out whether reading works again.
    Probe(oneshot::Sender<()>),
    Stop,
}

/// Which documents to list.
struct DocumentSearch {
    prefix: String,
    after: String,
    limit: usize,
}

/// The reader threads.
pub(super) struct ReaderPool {
    jobs: mpsc::Sender<ReadJob>,
    threads: usize,
}

impl ReaderPool {
    /// Starts `threads` threads on the database at `path`.
    pub(super) fn start(
        path: &Path,
        threads: usize,
        busy_timeout: Duration,
        health: &Arc<FileHealth>,
    ) -> Result<(Self, Vec<JoinHandle<()>>), OpenError> {
        let threads = threads.max(1);
        let (jobs, queue) = mpsc::channel(QUEUED_JOBS);
        let queue = Arc::new(Mutex::new(queue));
        let mut handles = Vec::with_capacity(threads);
        for _ in 0..threads {
            let reader = Reader {
                db: schema::open_reader(path, busy_timeout)?,
                queue: queue.clone(),
                threads,
                health: health.clone(),
            };
            handles.push(reader.spawn().map_err(OpenError::Threads)?);
        }
        Ok((Self { jobs, threads }, handles))
    }

    /// Reads a page.
    pub(super) async fn page(&self, request: PageRequest) -> Result<RoomRead> {
        self.request(|reply| ReadJob::Page(request, reply)).await
    }

    /// Reads what was missed between two offsets.
    pub(super) async fn missed(&self, request: MissedRequest) -> Result<Missed> {
        self.request(|reply| ReadJob::Missed(request, reply)).await
    }

    /// Reads a user's read marker.
    pub(super) async fn read_marker(&self, room: RoomKey, user: UserId) -> Result<ReadMarker> {
        self.request(|reply| ReadJob::Marker(room, user, reply))
            .await
    }

    /// The session, unless it ended before `expired`.
    pub(super) async fn session(
        &self,
        pid: Pid,
        expired: Timestamp,
    ) -> Result<Option<StoredSession>> {
        self.request(|reply| ReadJob::Session(pid, expired, reply))
            .await
    }

    /// Reads events of the outbox.
    pub(super) async fn outbox(&self, request: OutboxRequest) -> Result<OutboxPage> {
        self.request(|reply| ReadJob::Outbox(request, reply)).await
    }

    /// What was saved for an endpoint of the outbox.
    pub(super) async fn endpoint(&self, name: String) -> Result<Option<String>> {
        self.request(|reply| ReadJob::Endpoint(name, reply)).await
    }

    /// Reads what a document has behind a number.
    pub(super) async fn document(
        &self,
        document: RoomName,
        after: u64,
    ) -> Result<Option<StoredDocument>> {
        self.request(|reply| ReadJob::Document(document, after, reply))
            .await
    }

    /// How a document is.
    pub(super) async fn document_info(&self, document: RoomName) -> Result<Option<DocumentInfo>> {
        self.request(|reply| ReadJob::DocumentInfo(document, reply))
            .await
    }

    /// Whether there are documents that changed before a time and are to be told of.
    pub(super) async fn has_untold_documents(&self, before: Timestamp) -> Result<bool> {
        self.request(|reply| ReadJob::HasUntoldDocuments(before, reply))
            .await
    }

    /// Documents whose names begin with `prefix` and come after `after`.
    pub(super) async fn documents(
        &self,
        prefix: String,
        after: String,
        limit: usize,
    ) -> Result<Vec<DocumentInfo>> {
        let search = DocumentSearch {
            prefix,
            after,
            limit,
        };
        self.request(|reply| ReadJob::Documents(search, reply))
            .await
    }

    async fn request<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T>>) -> ReadJob,
    ) -> Result<T> {
        let (reply, result) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    }

    /// Finds out whether reading works again; the result is recorded in the health.
    pub(super) async fn probe(&self) {
        let (reply, probed) = oneshot::channel();
        if self.jobs.send(ReadJob::Probe(reply)).await.is_ok() {
            let _ = probed.await;
        }
    }

    /// Has the threads stop once the queued reads are done.
    pub(super) async fn stop(&self) {
        for _ in 0..self.threads {
            // They may have ended already.
            let _ = self.jobs.send(ReadJob::Stop).await;
        }
    }
}

/// One reader thread.
struct Reader {
    db: Connection,
    queue: Arc<Mutex<mpsc::Receiver<ReadJob>>>,
    /// How many threads share the queue.
    threads: usize,
    health: Arc<FileHealth>,
}

impl Reader {
    fn spawn(self) -> io::Result<JoinHandle<()>> {
        let run = move || {
            let mut jobs = Vec::new();
            while self.receive(&mut jobs) {
                for job in jobs.drain(..) {
                    if !self.run(job) {
                        return;
                    }
                }
                transaction::end_reading(&self.db);
            }
        };
        std::thread::Builder::new()
            .name("log-reader".into())
            .spawn(run)
    }

    /// Waits for jobs, and takes its share of those that wait. Returns false if there will be none.
    fn receive(&self, jobs: &mut Vec<ReadJob>) -> bool {
        // One thread waits for a job, and the others for the lock.
        let mut queue = lock(&self.queue);
        let Some(job) = queue.blocking_recv() else {
            return false;
        };
        jobs.push(job);
        let share = (queue.len() / self.threads).min(MAX_SHARING - 1);
        // A thread that is to stop leaves no other job undone, nor takes the order of another thread.
        while jobs.len() <= share
            && !matches!(jobs.last(), Some(ReadJob::Stop))
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        true
    }

    /// Executes a job, and returns whether to continue. The caller may have been dropped meanwhile.
    fn run(&self, job: ReadJob) -> bool {
        match job {
            ReadJob::Page(request, reply) => {
                let page = self.read(|db| queries::page(db, &request));
                let _ = reply.send(self.recorded(Some(&request.room), page));
            }
            ReadJob::Missed(request, reply) => {
                let missed = self.read(|db| queries::missed(db, &request));
                let _ = reply.send(self.recorded(Some(&request.room), missed));
            }
            ReadJob::Marker(room, user, reply) => {
                let marker = self.read(|db| read_markers::position(db, &room, &user));
                let _ = reply.send(self.recorded(Some(&room), marker));
            }
            ReadJob::Session(pid, expired, reply) => {
                let session = self.read(|db| sessions::find(db, pid, expired));
                let _ = reply.send(self.recorded(None, session));
            }
            ReadJob::Outbox(request, reply) => {
                let page = self.read(|db| outbox_page::read(db, &request));
                let _ = reply.send(self.recorded(None, page));
            }
            ReadJob::Endpoint(name, reply) => {
                let state = self.read(|db| endpoints::find(db, &name));
                let _ = reply.send(self.recorded(None, state));
            }
            ReadJob::Document(name, after, reply) => {
                let document = self.read(|db| documents::read(db, &name, after));
                let _ = reply.send(self.recorded(None, document));
            }
            ReadJob::DocumentInfo(name, reply) => {
                let info = self.read(|db| documents::find(db, &name));
                let _ = reply.send(self.recorded(None, info));
            }
            ReadJob::HasUntoldDocuments(before, reply) => {
                let found = self.read(|db| documents::has_untold(db, before));
                let _ = reply.send(self.recorded(None, found));
            }
            ReadJob::Documents(search, reply) => {
                let DocumentSearch {
                    prefix,
                    after,
                    limit,
                } = search;
                let found = self.read(|db| documents::list(db, &prefix, &after, limit));
                let _ = reply.send(self.recorded(None, found));
            }
            ReadJob::Probe(reply) => {
                transaction::end_reading(&self.db);
                self.health.probe_read(&self.db);
                let _ = reply.send(());
            }
            ReadJob::Stop => return false,
        }
        true
    }

    /// Reads in the transaction that the jobs share; a failure ends that.
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        transaction::begin_reading(&self.db)
            .and_then(read)
            .inspect_err(|_| transaction::end_reading(&self.db))
    }

    /// Records a failure in the health, and turns it into `unavailable`.
    fn recorded<T>(&self, room: Option<&RoomKey>, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|error| {
            self.health.record_read_failure(&self.db, room, &error);
            Error::unavailable("the log cannot be read now; try again").caused_by(error)
        })
    }
}
