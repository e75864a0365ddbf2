//! Reads from the database on a few threads, each with its own connection: in WAL mode they see the last commit and never
//! wait for the transaction in progress.

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
    queries::{self, MissedRequest, PageRequest, RoomRead},
    schema::{self, OpenError},
    tables::{read_markers, sessions},
};
use crate::{
    backend::{Missed, ReadMarker, StoredSession, closed},
    error::{Error, Result},
    model::{Pid, RoomKey, Timestamp, UserId},
    sync::lock,
};

/// How many reads may be queued before callers wait.
const QUEUED_JOBS: usize = 1024;

enum ReadJob {
    Page(PageRequest, oneshot::Sender<Result<RoomRead>>),
    Missed(MissedRequest, oneshot::Sender<Result<Missed>>),
    Marker(RoomKey, UserId, oneshot::Sender<Result<ReadMarker>>),
    Session(
        Pid,
        Timestamp,
        oneshot::Sender<Result<Option<StoredSession>>>,
    ),
    /// Find out whether reading works again.
    Probe(oneshot::Sender<()>),
    Stop,
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
    health: Arc<FileHealth>,
}

impl Reader {
    fn spawn(mut self) -> io::Result<JoinHandle<()>> {
        let run = move || {
            while let Some(job) = self.next_job()
                && self.run(job)
            {}
        };
        std::thread::Builder::new()
            .name("log-reader".into())
            .spawn(run)
    }

    fn next_job(&self) -> Option<ReadJob> {
        // One thread waits for a job, and the others for the lock.
        let mut queue = lock(&self.queue);
        queue.blocking_recv()
    }

    /// Executes a job, and returns whether to continue. The caller may have been dropped meanwhile.
    fn run(&mut self, job: ReadJob) -> bool {
        match job {
            ReadJob::Page(request, reply) => {
                let page = queries::page(&mut self.db, &request);
                let _ = reply.send(self.recorded(Some(&request.room), page));
            }
            ReadJob::Missed(request, reply) => {
                let missed = queries::missed(&mut self.db, &request);
                let _ = reply.send(self.recorded(Some(&request.room), missed));
            }
            ReadJob::Marker(room, user, reply) => {
                let marker = read_markers::position(&self.db, &room, &user);
                let _ = reply.send(self.recorded(Some(&room), marker));
            }
            ReadJob::Session(pid, expired, reply) => {
                let session = sessions::find(&self.db, pid, expired);
                let _ = reply.send(self.recorded(None, session));
            }
            ReadJob::Probe(reply) => {
                self.health.probe_read(&self.db);
                let _ = reply.send(());
            }
            ReadJob::Stop => return false,
        }
        true
    }

    /// Records a failure in the health, and turns it into `unavailable`.
    fn recorded<T>(&self, room: Option<&RoomKey>, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|error| {
            self.health.record_read_failure(&self.db, room, &error);
            Error::unavailable("the log cannot be read now; try again").caused_by(error)
        })
    }
}
