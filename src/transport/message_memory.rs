//! Memory of WebSocket messages that have arrived in part: beyond a small size, memory is reserved from the node's budget before more
//! of a message is read.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    packet_rate::PacedReader,
    wire::{Frame, Outbox},
};
use crate::{
    error::Limit,
    hub::CloseReason,
    limits::{Account, Charge},
    telemetry::Metrics,
};

/// Bytes of a partial message that are not charged.
const UNCHARGED_BYTES: usize = 16 << 10;

/// How often a reservation is retried that failed.
const MEMORY_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// How long the rest of a message may take that holds reserved memory.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// WebSocket's code for "try again later" (RFC 6455, 7.4.1).
const TRY_AGAIN: u16 = 1013;

/// What a reader needs of its connection.
pub(super) struct ReaderContext {
    pub(super) account: Arc<Account>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) metrics: Arc<Metrics>,
    /// How long it waits for memory.
    pub(super) stall: Duration,
}

/// Reads a client's WebSocket no further than memory can be reserved for.
pub(super) struct MemoryLimitedReader<R> {
    reader: PacedReader<R>,
    connection: ReaderContext,
    /// For a large message that has arrived in part.
    reservation: Option<Box<MessageReservation>>,
    ended: bool,
}

struct MessageReservation {
    charge: Charge,
    /// When the message has to be complete.
    deadline: Pin<Box<Sleep>>,
    /// While there is no memory: the next retry, and when the client is given up.
    waiting: Option<(Pin<Box<Sleep>>, Instant)>,
}

impl<R> MemoryLimitedReader<R> {
    pub(super) fn new(reader: PacedReader<R>, connection: ReaderContext) -> Self {
        Self {
            reader,
            connection,
            reservation: None,
            ended: false,
        }
    }

    /// Ready once there is memory for `more` bytes of the current message; false if the client is given up.
    fn poll_memory(&mut self, context: &mut Context<'_>, more: usize) -> Poll<bool> {
        let unfinished = self.reader.unfinished();
        if unfinished <= UNCHARGED_BYTES {
            self.reservation = None;
            return Poll::Ready(true);
        }
        let ReaderContext { account, stall, .. } = &self.connection;
        let reservation = self.reservation.get_or_insert_with(|| {
            Box::new(MessageReservation {
                charge: account.charge(UNCHARGED_BYTES),
                deadline: Box::pin(sleep(MESSAGE_TIMEOUT)),
                waiting: None,
            })
        });
        if reservation.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(false);
        }
        loop {
            // Twice, because the message is copied once when it is complete.
            if reservation.charge.resize(2 * (unfinished + more)).is_ok() {
                reservation.waiting = None;
                return Poll::Ready(true);
            }
            let (retry, deadline) = reservation.waiting.get_or_insert_with(|| {
                self.connection.metrics.limited(Limit::Memory);
                (
                    Box::pin(sleep(MEMORY_RETRY_INTERVAL)),
                    Instant::now() + *stall,
                )
            });
            if Instant::now() >= *deadline {
                return Poll::Ready(false);
            }
            ready!(retry.as_mut().poll(context));
            retry.as_mut().reset(Instant::now() + MEMORY_RETRY_INTERVAL);
        }
    }

    /// Closes the client; the stream ends for its reader.
    fn close_client(&mut self) {
        self.ended = true;
        self.reservation = None;
        let why = CloseReason::Unavailable.as_str();
        self.connection.metrics.closed(why);
        tracing::debug!(
            reason = why,
            "closing a WebSocket: a partial message took too long, or found no memory"
        );
        let last = Frame::close(
            TRY_AGAIN,
            "the rest of a message did not come, or limits.memory is reached",
        );
        self.connection.outbox.close_with(last);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for MemoryLimitedReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(Ok(()));
        }
        if !ready!(this.poll_memory(context, buffer.remaining())) {
            this.close_client();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.reader).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        if read > 0 {
            this.connection.metrics.received_bytes.inc_by(read as u64);
        }
        polled
    }
}

#[cfg(test)]
mod tests;
