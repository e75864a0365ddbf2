//! The embedded log: appends go to the writer, reads to the hot cache or the readers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{Mutex, Notify, Semaphore, mpsc, oneshot};

#[cfg(test)]
use super::health::FileHealth;
use super::{
    commands::WriteCommand,
    member_changes::MemberChanges,
    offsets::Offsets,
    probes::FileProbes,
    queries::{FoundPage, MissedRequest, PageRequest, RoomRead},
    reader::ReaderPool,
    unwritten::UnwrittenRooms,
};
use crate::{
    backend::{
        Clock, Draft, Health, Log, LogTime, Missed, Page, PageSize, Range, Receipt, Retention,
        closed, epoch, hot_cache::HotCache,
    },
    error::{Error, Result},
    model::{Incarnation, Namespace, Offset, RoomKey},
};

/// How many bytes of drafts may be queued before appends wait.
pub(super) const MAX_QUEUED_BYTES: u32 = 32 << 20;

pub(super) struct SqliteLog {
    pub(super) probes: Arc<FileProbes>,
    pub(super) checks: Arc<Health>,
    pub(super) queue: mpsc::Sender<WriteCommand>,
    /// Bytes of drafts that may still be queued.
    pub(super) queue_budget: Arc<Semaphore>,
    pub(super) readers: Arc<ReaderPool>,
    pub(super) cache: Arc<HotCache>,
    pub(super) unwritten: Arc<UnwrittenRooms>,
    pub(super) offsets: Arc<Offsets>,
    pub(super) incarnation: Incarnation,
    #[cfg(test)]
    pub(super) health: Arc<FileHealth>,
    pub(super) clock: Clock,
    pub(super) retention: Arc<Retention>,
    /// Changes of members that the writer has not taken yet.
    pub(super) members: Arc<MemberChanges>,
    /// Something was added to the outbox.
    pub(super) outbox_added: Arc<Notify>,
    pub(super) session_window: Duration,
    pub(super) closed: AtomicBool,
    /// `None` once closed.
    pub(super) threads: Mutex<Option<Threads>>,
}

pub(super) struct Threads {
    pub(super) all: Vec<JoinHandle<()>>,
    /// Ends when the writer has.
    pub(super) publisher: tokio::task::JoinHandle<()>,
    /// Stops the trimmer when it is dropped.
    pub(super) stop_trimmer: std::sync::mpsc::Sender<()>,
}

impl SqliteLog {
    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(())
    }

    /// Sends a command to the writer and waits for its reply.
    pub(super) async fn request<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> WriteCommand,
    ) -> Result<T> {
        let (reply, result) = oneshot::channel();
        let command = command(reply);
        self.queue.send(command).await.map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    }

    /// Records what a read from the database found: the oldest message in the cache, or that an empty room is in use.
    fn record_read(&self, room: &RoomKey, found: &FoundPage, now: LogTime) {
        let policy = self.retention.policy(&room.room);
        if let Some(ts) = found.oldest_ts {
            self.cache
                .record_oldest(room, &found.page.epoch, found.page.oldest, ts);
        } else if policy.needs_touch(found.ts, now) {
            // If the writer is busy, a later read will do.
            let room = room.clone();
            let _ = self.queue.try_send(WriteCommand::TouchRoom { room });
        }
    }

    /// Deletes everything that has expired at `now`.
    #[cfg(test)]
    pub(super) async fn trim(&self, now: crate::model::Timestamp) -> Result<()> {
        let now = now.into();
        while self
            .request(|reply| WriteCommand::Trim { now, reply })
            .await?
        {}
        Ok(())
    }
}

#[async_trait]
impl Log for SqliteLog {
    async fn append(&self, draft: Draft) -> Result<Receipt> {
        self.check_open()?;
        let bytes = u32::try_from(draft.data.get().len()).unwrap_or(u32::MAX);
        let permit = self
            .queue_budget
            .clone()
            .acquire_many_owned(bytes.min(MAX_QUEUED_BYTES))
            .await
            .map_err(|_| closed())?;
        let (reply, receipt) = Receipt::new();
        let append = WriteCommand::Append {
            draft,
            reply,
            permit,
        };
        self.queue.send(append).await.map_err(|_| closed())?;
        Ok(receipt)
    }

    async fn read(&self, room: &RoomKey, range: Range, size: PageSize) -> Result<Page> {
        self.check_open()?;
        let now = (self.clock)();
        let policy = self.retention.policy(&room.room);
        // An empty room is read from the database, so that its use is recorded.
        if let Some(page) = self.cache.page(room, range, size, policy.cutoff(now))
            && page.oldest <= page.head
        {
            return Ok(page);
        }
        if let Some(epoch) = self.unwritten.epoch(room) {
            return Ok(Page::unwritten(epoch));
        }
        let before = self.unwritten.now();
        let request = PageRequest {
            room: room.clone(),
            range,
            size,
            policy,
            now,
        };
        match self.readers.page(request).await? {
            RoomRead::Found(found) => {
                self.record_read(room, &found, now);
                Ok(found.page)
            }
            RoomRead::Unwritten { forgotten } => {
                let epoch = epoch::derive(&self.incarnation, room, forgotten);
                self.unwritten.record(room, &epoch, before);
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
        let policy = self.retention.policy(&room.room);
        let cutoff = policy.cutoff((self.clock)());
        if let Some(missed) = self.cache.missed(room, after, until, size, cutoff) {
            return Ok(missed);
        }
        let request = MissedRequest {
            room: room.clone(),
            after,
            until,
            size,
            cutoff,
        };
        self.readers.missed(request).await
    }

    async fn last_offset(&self, namespace: &Namespace) -> Result<Offset> {
        self.check_open()?;
        Ok(self.offsets.of(namespace))
    }

    fn incarnation(&self) -> Incarnation {
        self.incarnation.clone()
    }

    async fn ready(&self) -> Result<()> {
        self.check_open()?;
        if self.queue.is_closed() {
            return Err(Error::unavailable("the log has failed; restart the server"));
        }
        self.probes.probe_now().await;
        self.checks.ensure_passing()
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Held to the end, so that a second call returns when the first one is done.
        let mut threads = self.threads.lock().await;
        let Some(threads) = threads.take() else {
            return;
        };
        let Threads {
            all,
            publisher,
            stop_trimmer,
        } = threads;
        drop(stop_trimmer);
        self.readers.stop().await;
        // Fails only if the writer has ended.
        let _ = self.queue.send(WriteCommand::Close).await;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in all {
                if thread.join().is_err() {
                    tracing::error!("a thread of the log has panicked");
                }
            }
        });
        let _ = joined.await;
        let _ = publisher.await;
    }
}
