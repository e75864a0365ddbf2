//! The thread that has the writer trim the log.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use super::commands::WriteCommand;
use crate::backend::{Clock, retention};

/// Asks the writer for one small step after another, until the other end of `stop` is dropped.
pub(super) fn run(queue: &mpsc::Sender<WriteCommand>, stop: &Receiver<()>, clock: &Clock) {
    let mut delay = retention::trim_delay(false, Duration::ZERO);
    while stop.recv_timeout(delay) == Err(RecvTimeoutError::Timeout) {
        let started = Instant::now();
        let (reply, done) = oneshot::channel();
        let now = clock();
        if queue
            .blocking_send(WriteCommand::Trim { now, reply })
            .is_err()
        {
            return;
        }
        // The writer has reported a failed step; the next pass tries again.
        let more = matches!(done.blocking_recv(), Ok(Ok(true)));
        delay = retention::trim_delay(more, started.elapsed());
    }
}
