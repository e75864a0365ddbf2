//! Probes whether messages can be stored while none are, and whether reading works again after it failed.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use super::{commands::WriteCommand, health::FileHealth, reader::ReaderPool};
use crate::backend::health::{ProbeSchedule, ProbeThrottle};

/// How long the writer may take for the commands queued before a probe.
const WRITER_TIMEOUT: Duration = Duration::from_secs(2);

/// Probes of the database file.
pub(super) struct FileProbes {
    queue: mpsc::Sender<WriteCommand>,
    readers: Arc<ReaderPool>,
    health: Arc<FileHealth>,
    throttle: ProbeThrottle,
}

impl FileProbes {
    pub(super) fn new(
        queue: &mpsc::Sender<WriteCommand>,
        readers: &Arc<ReaderPool>,
        health: &Arc<FileHealth>,
    ) -> Self {
        Self {
            queue: queue.clone(),
            readers: readers.clone(),
            health: health.clone(),
            throttle: ProbeThrottle::default(),
        }
    }

    /// Probes everything, unless that was done a moment ago.
    pub(super) async fn probe_now(&self) {
        self.throttle
            .probe(async {
                self.probe_read().await;
                self.probe_write().await;
            })
            .await;
    }

    async fn probe_write(&self) {
        let (reply, done) = oneshot::channel();
        let probed = async {
            // The writer records the result. If this fails, it has ended, and the log with it.
            let probe = WriteCommand::Probe { reply };
            if self.queue.send(probe).await.is_ok() {
                let _ = done.await;
            }
        };
        // A busy writer replies late, and works.
        let timed_out = timeout(WRITER_TIMEOUT, probed).await.is_err();
        if timed_out && !self.health.write.succeeded_within(WRITER_TIMEOUT) {
            self.health
                .write
                .record_failure("the writer does not respond");
        }
    }

    async fn probe_read(&self) {
        if self.health.read.failing().is_some() {
            self.readers.probe().await;
        }
    }
}

/// Probes again and again until the log is dropped.
pub(super) async fn run(probes: Weak<FileProbes>, health: Arc<FileHealth>) {
    let (mut writes, mut reads) = (
        ProbeSchedule::of(health.write.clone()),
        ProbeSchedule::of(health.read.clone()),
    );
    loop {
        // Reads are probed only while they fail.
        let read_delay = match health.read.failing() {
            Some(_) => reads.delay(),
            None => Duration::MAX,
        };
        sleep(writes.delay().min(read_delay)).await;
        let Some(probes) = probes.upgrade() else {
            return;
        };
        probes.probe_read().await;
        if writes.is_due() {
            probes.probe_write().await;
        }
    }
}
