//! The probe of an upgrade from polling to WebSocket, up to the moment when the client has switched.
//!
//! A proxy or a virus scanner may pass the 101 and then cut or swallow the frames. So the probe is answered here, and
//! engineioxide learns of the WebSocket only once the client has sent `5`. If it learned earlier, it would answer every poll at
//! once from then on, and close the session if the probe failed. Until then the session polls as before, and may try again.
//!
//! A client pauses polling once it has `3probe` and a response to its poll. So a pending poll gets a no-op then: the first at
//! once, later ones at growing intervals, since a client that never received `3probe` goes on polling.

use std::{
    io::{self, Cursor},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Mutex, MutexGuard, watch},
    time::{sleep, timeout},
};

use crate::{
    http::upgrade::{StreamReader, StreamWriter},
    transport::wire::Outbox,
};

/// Longest time between two frames of a probe.
const FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to close an abandoned WebSocket.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Delay of the second no-op of a probe; each later one has twice the delay of the one before.
const NOOP_DELAY: Duration = Duration::from_millis(25);

/// Maximum payload of a frame of a probe: control frames have no more, and the packets are tiny.
const MAX_PAYLOAD: usize = 125;

/// The frames of a successful probe, which engineioxide reads in place of the client's: `2probe` and `5`, with zero masks.
const PROBE_FRAMES: &[u8] = b"\x81\x86\0\0\0\x002probe\x81\x81\0\0\0\x005";

const PROBE_REPLY: &[u8] = b"\x81\x063probe";
const CLOSE_FRAME: &[u8] = b"\x88\x00";

/// Progress of a session's upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UpgradeStage {
    /// No upgrade is being tried.
    Polling,
    /// A WebSocket is open; its probe has not come yet.
    Probing,
    /// The probe was answered.
    Answered,
    /// The client has switched to the WebSocket.
    Upgraded,
}

/// The state of one session's upgrade; its polls and its probe share it.
pub(super) struct UpgradeState {
    stage: watch::Sender<UpgradeStage>,
    /// No-ops sent since the last probe began.
    noops: AtomicU32,
    /// Locked by the pending poll.
    poll: Mutex<()>,
}

impl Default for UpgradeState {
    fn default() -> Self {
        Self {
            stage: watch::Sender::new(UpgradeStage::Polling),
            noops: AtomicU32::new(0),
            poll: Mutex::new(()),
        }
    }
}

impl UpgradeState {
    /// Starts a probe, unless another one is running or the session has upgraded.
    pub(super) fn start_probe(self: &Arc<Self>) -> Option<UpgradeProbe> {
        let started = self.stage.send_if_modified(|stage| {
            let is_polling = *stage == UpgradeStage::Polling;
            if is_polling {
                *stage = UpgradeStage::Probing;
            }
            is_polling
        });
        started.then(|| {
            self.noops.store(0, Ordering::Relaxed);
            UpgradeProbe(self.clone())
        })
    }

    /// Starts a poll; `None` if another one is pending.
    pub(super) fn start_poll(&self) -> Option<MutexGuard<'_, ()>> {
        self.poll.try_lock().ok()
    }

    /// Whether the client has switched to a WebSocket.
    pub(super) fn is_done(&self) -> bool {
        *self.stage.borrow() == UpgradeStage::Upgraded
    }

    /// Waits until no poll is pending. After the client has switched, polls are answered at once.
    pub(super) async fn poll_finished(&self) {
        drop(self.poll.lock().await);
    }

    /// Waits until the pending poll should get a no-op.
    pub(super) async fn noop_due(&self) {
        let mut stage = self.stage.subscribe();
        loop {
            let reached = stage
                .wait_for(|stage| matches!(stage, UpgradeStage::Answered | UpgradeStage::Upgraded));
            let Ok(UpgradeStage::Answered) = reached.await.map(|stage| *stage) else {
                return;
            };
            let delay = match self.noops.load(Ordering::Relaxed) {
                0 => Duration::ZERO,
                before => NOOP_DELAY * (1 << (before - 1).min(10)),
            };
            tokio::select! {
                () = sleep(delay) => {
                    self.noops.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                _ = stage.changed() => {}
            }
        }
    }
}

/// A running probe: no other can start. If it is dropped before the client has switched, another one can.
pub(super) struct UpgradeProbe(Arc<UpgradeState>);

impl Drop for UpgradeProbe {
    fn drop(&mut self) {
        self.set(UpgradeStage::Polling);
    }
}

impl UpgradeProbe {
    /// Answers the probe and waits until the client has switched, or until the timeout. Returns the stream, read up to the
    /// client's `5`; otherwise closes the WebSocket.
    pub(super) async fn run(
        self,
        reader: StreamReader,
        writer: StreamWriter,
        outbox: &Outbox,
        upgrade_timeout: Duration,
    ) -> Option<(StreamReader, StreamWriter)> {
        let mut stream = ProbeStream { reader, writer };
        let outcome = tokio::select! {
            outcome = timeout(upgrade_timeout, self.exchange_frames(&mut stream)) => outcome,
            // The pending poll ends, too.
            () = outbox.ended() => Ok(Err(ProbeError::SessionEnded)),
        };
        match outcome.unwrap_or(Err(ProbeError::Timeout)) {
            Ok(()) => {
                self.set(UpgradeStage::Upgraded);
                Some((stream.reader, stream.writer))
            }
            Err(error) => {
                tracing::debug!(reason = %error, "an upgrade failed; the session goes on by polling");
                drop(self);
                stream.close().await;
                None
            }
        }
    }

    async fn exchange_frames(&self, stream: &mut ProbeStream) -> Result<(), ProbeError> {
        loop {
            let read = timeout(FRAME_TIMEOUT, stream.read_frame()).await;
            let frame = read.map_err(|_| ProbeError::Timeout)??;
            match (frame.opcode, frame.payload()) {
                (TEXT, b"2probe") => {
                    stream.write(PROBE_REPLY).await?;
                    self.set(UpgradeStage::Answered);
                }
                (TEXT, b"5") => return Ok(()),
                (PING, payload) => {
                    let head = [0x80 | PONG, payload.len() as u8];
                    stream.write(&[&head, payload].concat()).await?;
                }
                (PONG, _) => {}
                (CLOSING, _) => return Err(ProbeError::Closed),
                _ => return Err(ProbeError::UnexpectedFrame),
            }
        }
    }

    fn set(&self, next: UpgradeStage) {
        self.0.stage.send_if_modified(|stage| {
            // A client that has switched does not go back.
            let changes = *stage != next && *stage != UpgradeStage::Upgraded;
            if changes {
                *stage = next;
            }
            changes
        });
    }
}

/// Prepends the frames of a successful probe, which engineioxide expects first.
pub(super) fn prepend_probe(reader: StreamReader) -> StreamReader {
    Box::new(Cursor::new(PROBE_FRAMES).chain(reader))
}

/// Closes a WebSocket that is not needed.
pub(super) async fn close(reader: StreamReader, writer: StreamWriter) {
    ProbeStream { reader, writer }.close().await;
}

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("timed out waiting for a frame")]
    Timeout,
    #[error("the session has ended")]
    SessionEnded,
    #[error("the client closed the WebSocket")]
    Closed,
    #[error("unexpected frame")]
    UnexpectedFrame,
    #[error("the connection broke")]
    Broken(#[from] io::Error),
}

const TEXT: u8 = 1;
const CLOSING: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A client's frame, unmasked.
struct ProbeFrame {
    opcode: u8,
    bytes: [u8; MAX_PAYLOAD],
    len: usize,
}

impl ProbeFrame {
    fn payload(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The WebSocket of a probe. Reads no byte beyond its frames: what follows is for engineioxide.
struct ProbeStream {
    reader: StreamReader,
    writer: StreamWriter,
}

impl ProbeStream {
    async fn read_frame(&mut self) -> Result<ProbeFrame, ProbeError> {
        let mut head = [0; 2];
        self.reader.read_exact(&mut head).await?;
        let (opcode, len) = (head[0] & 0x0f, usize::from(head[1] & 0x7f));
        // A whole frame without extensions, masked as every client frame.
        if head[0] & 0xf0 != 0x80 || head[1] & 0x80 == 0 || len > MAX_PAYLOAD {
            return Err(ProbeError::UnexpectedFrame);
        }
        let mut mask = [0; 4];
        self.reader.read_exact(&mut mask).await?;
        let mut bytes = [0; MAX_PAYLOAD];
        self.reader.read_exact(&mut bytes[..len]).await?;
        for (byte, mask) in bytes[..len].iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        Ok(ProbeFrame { opcode, bytes, len })
    }

    async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.writer.write_all(frame).await?;
        self.writer.flush().await
    }

    /// Closes it and reads until the client closes: closed with unread bytes, the connection would be reset.
    async fn close(mut self) {
        let closing = async {
            self.write(CLOSE_FRAME).await?;
            self.writer.shutdown().await?;
            tokio::io::copy(&mut self.reader, &mut tokio::io::sink()).await
        };
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }
}

#[cfg(test)]
mod tests;
