//! Tries whether messages can be stored, where none are, and whether what could not be read can be again.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use super::{health::Health, reader::Readers, writer::Command};
use crate::backend::health::{ProbeSchedule, ProbeThrottle};

/// How long the writer may take for what it was asked before.
const ANSWER: Duration = Duration::from_secs(2);

/// For whoever wants to know now.
pub(super) struct Probes {
    queue: mpsc::Sender<Command>,
    readers: Arc<Readers>,
    health: Arc<Health>,
    asked: ProbeThrottle,
}

impl Probes {
    pub(super) fn new(
        queue: &mpsc::Sender<Command>,
        readers: &Arc<Readers>,
        health: &Arc<Health>,
    ) -> Self {
        Self {
            queue: queue.clone(),
            readers: readers.clone(),
            health: health.clone(),
            asked: ProbeThrottle::default(),
        }
    }

    /// Tries all, unless that was done a moment ago.
    pub(super) async fn look(&self) {
        self.asked
            .probe(async {
                self.read().await;
                self.write().await;
            })
            .await;
    }

    async fn write(&self) {
        let (done, answer) = oneshot::channel();
        let probed = async {
            // How it went, the writer notes. It has ended if this fails, and the log with it.
            if self.queue.send(Command::Probe { done }).await.is_ok() {
                let _ = answer.await;
            }
        };
        // One that has much to do answers late, and works.
        if timeout(ANSWER, probed).await.is_err() && !self.health.write.succeeded_within(ANSWER) {
            self.health
                .write
                .record_failure("the writer does not answer");
        }
    }

    async fn read(&self) {
        if self.health.read.failing().is_some() {
            self.readers.look().await;
        }
    }
}

/// Goes on trying, for as long as somebody uses the log.
pub(super) async fn run(probes: Weak<Probes>, health: Arc<Health>) {
    let (mut writes, mut reads) = (
        ProbeSchedule::of(health.write.clone()),
        ProbeSchedule::of(health.read.clone()),
    );
    loop {
        // Reads are tried only while they fail.
        let reading = match health.read.failing() {
            Some(_) => reads.rest(),
            None => Duration::MAX,
        };
        sleep(writes.rest().min(reading)).await;
        let Some(probes) = probes.upgrade() else {
            return;
        };
        probes.read().await;
        if writes.is_due() {
            probes.write().await;
        }
    }
}
