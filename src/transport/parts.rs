//! A WebSocket's messages that have come in part: what is kept of one beyond a little is reserved of the node's budget before more is
//! read.

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

/// Bytes of a message in parts that cost nothing.
const FREE: usize = 16 << 10;

/// How often memory is looked for that was not there.
const AGAIN: Duration = Duration::from_millis(100);

/// How long the rest of a message may take that holds memory of the budget.
const PATIENCE: Duration = Duration::from_secs(60);

/// WebSocket's code for "try again later" (RFC 6455, 7.4.1).
const TRY_AGAIN: u16 = 1013;

/// What a reader of a WebSocket needs to know of its connection.
pub(super) struct Bearer {
    pub(super) account: Arc<Account>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) metrics: Arc<Metrics>,
    /// How long it may find no memory.
    pub(super) stall: Duration,
}

/// A client's WebSocket, of which no more is read than there is memory for.
pub(super) struct HeldReader<R> {
    reader: PacedReader<R>,
    bearer: Bearer,
    /// Of a message that has come in part, and is large.
    holding: Option<Holding>,
    ended: bool,
}

struct Holding {
    charge: Charge,
    /// Until the message is whole.
    until: Pin<Box<Sleep>>,
    /// There was no memory for more: when that is tried again, and when it is given up.
    short: Option<(Pin<Box<Sleep>>, Instant)>,
}

impl<R> HeldReader<R> {
    pub(super) fn new(reader: PacedReader<R>, bearer: Bearer) -> Self {
        Self {
            reader,
            bearer,
            holding: None,
            ended: false,
        }
    }

    /// Ready once there is memory for so many more bytes of the message that is under way; false if it is given up.
    fn poll_memory(&mut self, context: &mut Context<'_>, more: usize) -> Poll<bool> {
        let unfinished = self.reader.unfinished();
        if unfinished <= FREE {
            self.holding = None;
            return Poll::Ready(true);
        }
        let Bearer { account, stall, .. } = &self.bearer;
        let holding = self.holding.get_or_insert_with(|| Holding {
            charge: account.charge(FREE),
            until: Box::pin(sleep(PATIENCE)),
            short: None,
        });
        if holding.until.as_mut().poll(context).is_ready() {
            return Poll::Ready(false);
        }
        loop {
            // What has come is copied once when the message is whole.
            if holding.charge.cover(2 * (unfinished + more)).is_ok() {
                holding.short = None;
                return Poll::Ready(true);
            }
            let (again, until) = holding.short.get_or_insert_with(|| {
                self.bearer.metrics.limited(Limit::Memory);
                (Box::pin(sleep(AGAIN)), Instant::now() + *stall)
            });
            if Instant::now() >= *until {
                return Poll::Ready(false);
            }
            ready!(again.as_mut().poll(context));
            again.as_mut().reset(Instant::now() + AGAIN);
        }
    }

    /// Closes the client; whoever reads sees the end of the stream.
    fn give_up(&mut self) {
        self.ended = true;
        self.holding = None;
        let why = CloseReason::Unavailable.as_str();
        self.bearer.metrics.closed(why);
        tracing::debug!(reason = why, "a message in parts is not waited for");
        let last = Frame::close(
            TRY_AGAIN,
            "the rest of a message did not come, or limits.memory is reached",
        );
        self.bearer.outbox.close_with(last);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for HeldReader<R> {
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
            this.give_up();
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.reader).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests;
