//! The tasks that write to sockets: a few of them share one [`WriteQueue`], and one more looks for stalled clients.
//!
//! One task that writes for many sessions batches by itself: while it writes to some, the queues of the others grow, and
//! each session is written once with everything that is queued there. Waking a task of its own for every session costs more
//! than the writing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::{coop::unconstrained, yield_now};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::write_queue::{QueuedWriter, WriteQueue};
use crate::hub::BatchWriter;

/// Sessions that one task writes to before it yields to other tasks.
const ROUND: usize = 128;

/// The writer tasks; they stop when this is dropped.
pub(in crate::transport) struct WriterPool {
    queue: Arc<WriteQueue>,
    writers: usize,
    _stop: DropGuard,
}

impl WriterPool {
    /// Starts `writers` tasks that write, and one that looks for stalls ten times within `stall`. Needs a tokio runtime.
    pub(in crate::transport) fn start(writers: usize, stall: Duration) -> Self {
        let (stop, queue) = (CancellationToken::new(), Arc::<WriteQueue>::default());
        for _ in 0..writers {
            let writing = unconstrained(run_writer(queue.clone()));
            tokio::spawn(stop.clone().run_until_cancelled_owned(writing));
        }
        let interval = (stall / 10).clamp(Duration::from_millis(20), Duration::from_millis(500));
        let checking = check_stalls(queue.clone(), interval);
        tokio::spawn(stop.clone().run_until_cancelled_owned(checking));
        Self {
            queue,
            writers,
            _stop: stop.drop_guard(),
        }
    }

    /// The queue that outboxes of this pool use.
    pub(in crate::transport) fn queue(&self) -> Arc<WriteQueue> {
        self.queue.clone()
    }
}

impl BatchWriter for WriterPool {
    fn begin_batch(&self) {
        self.queue.set_batching(true);
    }

    /// A single event is written by all tasks, since the last recipient waits for all others. Several together are written
    /// by one, most likely on the core that just filled the queues: moving them to another core costs more than it saves.
    fn end_batch(&self, single: bool) {
        self.queue.set_batching(false);
        for _ in 0..if single { self.writers } else { 1 } {
            self.queue.wake_writer();
        }
    }
}

async fn run_writer(queue: Arc<WriteQueue>) {
    let mut round = Vec::with_capacity(ROUND);
    let mut flushed = 0;
    loop {
        queue.work_available().await;
        // The end of a batch wakes this task again.
        while !queue.is_batching() && queue.take_round(&mut round, ROUND) {
            // Counted over all rounds: one short round may follow the other without end.
            flushed += round.len();
            round.drain(..).for_each(QueuedWriter::write_queued);
            if flushed >= ROUND {
                flushed = 0;
                yield_now().await;
            }
        }
    }
}

async fn check_stalls(queue: Arc<WriteQueue>, interval: Duration) {
    let mut tick = tokio::time::interval(interval);
    loop {
        tick.tick().await;
        queue.check_stalls(Instant::now());
    }
}
