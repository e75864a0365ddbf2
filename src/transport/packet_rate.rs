//! Rate of packets that carry no event: pings, pongs, fragments, packets that are dropped.
//!
//! They take no permit of a message rate, and cost their sender next to nothing. A client that sends many of them is read more
//! slowly: [`PacedReader`] counts the frames of a WebSocket as they arrive, and the parser of packets adds those without an event.
//! The reader also yields to other tasks of its thread after a number of frames.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    task::coop::poll_proceed,
    time::{Instant, Sleep},
};

use crate::{
    limits::{Bucket, Rate},
    sync::lock,
    telemetry::Metrics,
};

/// The packets of one client.
pub(super) struct PacketRate {
    rate: Rate,
    bucket: Mutex<Bucket>,
    /// Counted, but not charged to the bucket yet.
    uncharged: AtomicU32,
    metrics: Arc<Metrics>,
}

impl PacketRate {
    pub(super) fn new(rate: Rate, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            rate,
            bucket: Mutex::default(),
            uncharged: AtomicU32::new(0),
            metrics,
        })
    }

    /// Counts one packet.
    pub(super) fn note(&self) {
        self.uncharged.fetch_add(1, Ordering::Relaxed);
    }

    /// How long reading from the client has to pause for what was counted; almost always zero.
    pub(super) fn pause(&self) -> Duration {
        let uncharged = match self.uncharged.load(Ordering::Relaxed) {
            0 => return Duration::ZERO,
            _ => self.uncharged.swap(0, Ordering::Relaxed),
        };
        let (now, mut bucket) = (Instant::now().into_std(), lock(&self.bucket));
        let mut wait = Duration::ZERO;
        for _ in 0..uncharged {
            wait = bucket
                .reserve(self.rate, now, Duration::MAX)
                .unwrap_or(Duration::MAX);
        }
        if !wait.is_zero() {
            self.metrics.held_back(wait);
        }
        wait
    }
}

/// Frames that use up one unit of the task's cooperative budget.
const FRAMES_PER_BUDGET_UNIT: u32 = 2;

/// Reads a client's WebSocket no faster than its packet rate allows.
pub(super) struct PacedReader<R> {
    reader: R,
    rate: Arc<PacketRate>,
    frames: FrameCounter,
    /// Frames read that have not been charged to the task's budget yet.
    unbudgeted: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<R> PacedReader<R> {
    pub(super) fn new(reader: R, rate: Arc<PacketRate>) -> Self {
        Self {
            reader,
            rate,
            frames: FrameCounter::default(),
            unbudgeted: 0,
            pause: None,
        }
    }

    /// Bytes of the message that is incomplete.
    pub(super) fn unfinished(&self) -> usize {
        self.frames.message
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for PacedReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        let pause = this.rate.pause();
        if !pause.is_zero() {
            let pause = this.pause.insert(Box::pin(tokio::time::sleep(pause)));
            ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        while this.unbudgeted >= FRAMES_PER_BUDGET_UNIT {
            ready!(poll_proceed(context)).made_progress();
            this.unbudgeted -= FRAMES_PER_BUDGET_UNIT;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.reader).poll_read(context, buffer))?;
        let (all, non_message) = this.frames.count(&buffer.filled()[before..]);
        this.unbudgeted += all;
        (0..non_message).for_each(|_| this.rate.note());
        Poll::Ready(Ok(()))
    }
}

/// Counts the frames of a stream (RFC 6455, 5.2) by their headers.
#[derive(Default)]
struct FrameCounter {
    head: [u8; 14],
    /// Bytes of the next header that have arrived.
    len: u8,
    /// Bytes of the payload that are missing.
    payload: u64,
    /// Bytes of the incomplete message that have arrived.
    message: usize,
    /// Whether the current frame belongs to a message, and is its last.
    is_last_of_message: Option<bool>,
}

impl FrameCounter {
    /// How many frames begin in `bytes`, and how many of those complete no message: control frames, fragments, empty ones.
    fn count(&mut self, mut bytes: &[u8]) -> (u32, u32) {
        let (mut all, mut non_message) = (0, 0);
        loop {
            let passed = bytes
                .len()
                .min(self.payload.try_into().unwrap_or(usize::MAX));
            self.payload -= passed as u64;
            bytes = &bytes[passed..];
            if let Some(last) = self.is_last_of_message {
                self.message += passed;
                if last && self.payload == 0 {
                    (self.message, self.is_last_of_message) = (0, None);
                }
            }
            let Some((byte, rest)) = bytes.split_first() else {
                return (all, non_message);
            };
            bytes = rest;
            self.head[usize::from(self.len)] = *byte;
            self.len += 1;
            let Some(payload) = payload_len(&self.head[..usize::from(self.len)]) else {
                continue;
            };
            (self.len, self.payload) = (0, payload);
            let (last, opcode) = (self.head[0] & 0x80 != 0, self.head[0] & 0x0f);
            self.is_last_of_message = (opcode < 8).then_some(last);
            if self.is_last_of_message == Some(true) && payload == 0 {
                (self.message, self.is_last_of_message) = (0, None);
            }
            all += 1;
            non_message += u32::from(!last || payload == 0 || !matches!(opcode, 1 | 2));
        }
    }
}

/// The length of a payload, once the frame's header is complete.
fn payload_len(head: &[u8]) -> Option<u64> {
    let second = *head.get(1)?;
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    if head.len() < 2 + extended + mask {
        return None;
    }
    let length = head[2..2 + extended].iter();
    Some(match extended {
        0 => u64::from(second & 0x7f),
        _ => length.fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    })
}

#[cfg(test)]
mod tests;
