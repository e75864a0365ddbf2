//! The upgrade of a session from polling to WebSocket, up to the moment when its client has switched.
//!
//! A proxy or a virus scanner may pass the 101 and then cut or swallow the frames. So the probe is answered here, and
//! engineioxide hears of the WebSocket only once the client has sent `5`: told earlier, it would answer every poll at once
//! from then on, and end the session if the probe failed. Until then the session polls as before, and may try again.
//!
//! A client pauses polling when it has `3probe` and its poll has been answered. So a pending poll is answered with a NOOP
//! then: the first at once, later ones at growing distances, for a client that never received `3probe` goes on polling.

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

use crate::transport::{
    upgrade::StreamReader,
    wire::{Outbox, Writer},
};

/// How long a probe may be without a frame.
const SILENCE: Duration = Duration::from_secs(5);

/// How long the peer of a WebSocket that is given up may take to close it.
const FAREWELL: Duration = Duration::from_secs(2);

/// When the second poll of a probe is answered; each later one waits twice as long as the one before.
const SECOND_NOOP: Duration = Duration::from_millis(25);

/// Bytes that a frame of a probe may have: control frames have no more, and the packets are tiny.
const FRAME: usize = 125;

/// What engineioxide is told of a probe that has succeeded, as a client sends it: `2probe` and `5`, masked with zeros.
const SUCCEEDED: &[u8] = b"\x81\x86\0\0\0\x002probe\x81\x81\0\0\0\x005";

const ANSWER: &[u8] = b"\x81\x063probe";
const CLOSE: &[u8] = b"\x88\x00";

/// How far the upgrade of a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody tries.
    Polling,
    /// A WebSocket is open.
    Probing,
    /// Its probe was answered.
    Answered,
    /// Its client has switched to it.
    Upgraded,
}

/// The upgrade of one session; its polls and its probe share it.
pub(super) struct Upgrade {
    stage: watch::Sender<Stage>,
    /// Polls that were answered with a NOOP since the last probe began.
    noops: AtomicU32,
    /// Held by the poll that is pending.
    poll: Mutex<()>,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self {
            stage: watch::Sender::new(Stage::Polling),
            noops: AtomicU32::new(0),
            poll: Mutex::new(()),
        }
    }
}

impl Upgrade {
    /// Begins a probe, unless another is under way or the session is upgraded.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Probe> {
        let begun = self.stage.send_if_modified(|stage| {
            let free = *stage == Stage::Polling;
            if free {
                *stage = Stage::Probing;
            }
            free
        });
        begun.then(|| {
            self.noops.store(0, Ordering::Relaxed);
            Probe(self.clone())
        })
    }

    /// The turn of a poll; `None` if another is pending.
    pub(super) fn poll(&self) -> Option<MutexGuard<'_, ()>> {
        self.poll.try_lock().ok()
    }

    /// Whether the client has switched to a WebSocket.
    pub(super) fn is_done(&self) -> bool {
        *self.stage.borrow() == Stage::Upgraded
    }

    /// Waits until no poll is pending. After the client has switched each is answered at once.
    pub(super) async fn polled(&self) {
        drop(self.poll.lock().await);
    }

    /// Waits until the pending poll is to be answered with a NOOP.
    pub(super) async fn noop(&self) {
        let mut stage = self.stage.subscribe();
        loop {
            let reached =
                stage.wait_for(|stage| matches!(stage, Stage::Answered | Stage::Upgraded));
            let Ok(Stage::Answered) = reached.await.map(|stage| *stage) else {
                return;
            };
            let pause = match self.noops.load(Ordering::Relaxed) {
                0 => Duration::ZERO,
                before => SECOND_NOOP * (1 << (before - 1).min(10)),
            };
            tokio::select! {
                () = sleep(pause) => {
                    self.noops.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                _ = stage.changed() => {}
            }
        }
    }
}

/// A probe; while it lives no other begins, and if it is dropped before the client has switched, another may.
pub(super) struct Probe(Arc<Upgrade>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.set(Stage::Polling);
    }
}

impl Probe {
    /// Answers the probe and waits until the client has switched, `within` this time at most. Returns the stream then, read
    /// up to the client's `5`; closes the WebSocket otherwise.
    pub(super) async fn run(
        self,
        reader: StreamReader,
        writer: Writer,
        outbox: &Outbox,
        within: Duration,
    ) -> Option<(StreamReader, Writer)> {
        let mut stream = Stream { reader, writer };
        let outcome = tokio::select! {
            outcome = timeout(within, self.converse(&mut stream)) => outcome,
            // Its pending poll is told, too.
            () = outbox.ended() => Ok(Err(Failed::SessionEnded)),
        };
        match outcome.unwrap_or(Err(Failed::Silent)) {
            Ok(()) => {
                self.set(Stage::Upgraded);
                Some((stream.reader, stream.writer))
            }
            Err(reason) => {
                tracing::debug!(%reason, "an upgrade failed; the session goes on by polling");
                drop(self);
                stream.close().await;
                None
            }
        }
    }

    async fn converse(&self, stream: &mut Stream) -> Result<(), Failed> {
        loop {
            let read = timeout(SILENCE, stream.frame()).await;
            let frame = read.map_err(|_| Failed::Silent)??;
            match (frame.opcode, frame.payload()) {
                (TEXT, b"2probe") => {
                    stream.write(ANSWER).await?;
                    self.set(Stage::Answered);
                }
                (TEXT, b"5") => return Ok(()),
                (PING, payload) => {
                    let head = [0x80 | PONG, payload.len() as u8];
                    stream.write(&[&head, payload].concat()).await?;
                }
                (PONG, _) => {}
                (CLOSING, _) => return Err(Failed::Closed),
                _ => return Err(Failed::WrongFrame),
            }
        }
    }

    fn set(&self, next: Stage) {
        self.0.stage.send_if_modified(|stage| {
            // Whoever has switched does not go back.
            let changes = *stage != next && *stage != Stage::Upgraded;
            if changes {
                *stage = next;
            }
            changes
        });
    }
}

/// The probe that engineioxide reads in front of everything else.
pub(super) fn preceded(reader: StreamReader) -> StreamReader {
    Box::new(Cursor::new(SUCCEEDED).chain(reader))
}

/// Closes a WebSocket that nobody wants.
pub(super) async fn close(reader: StreamReader, writer: Writer) {
    Stream { reader, writer }.close().await;
}

/// Why a probe has failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("no frame came for too long")]
    Silent,
    #[error("the session has ended")]
    SessionEnded,
    #[error("the client closed the WebSocket")]
    Closed,
    #[error("a frame came that belongs to no probe")]
    WrongFrame,
    #[error("the connection broke")]
    Broken(#[from] io::Error),
}

const TEXT: u8 = 1;
const CLOSING: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame of a client's, unmasked.
struct ClientFrame {
    opcode: u8,
    bytes: [u8; FRAME],
    len: usize,
}

impl ClientFrame {
    fn payload(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The WebSocket of a probe. Reads no byte more than the frames have: what follows them is engineioxide's.
struct Stream {
    reader: StreamReader,
    writer: Writer,
}

impl Stream {
    async fn frame(&mut self) -> Result<ClientFrame, Failed> {
        let mut head = [0; 2];
        self.reader.read_exact(&mut head).await?;
        let (opcode, len) = (head[0] & 0x0f, usize::from(head[1] & 0x7f));
        // Whole and without extensions; masked, as every frame of a client.
        if head[0] & 0xf0 != 0x80 || head[1] & 0x80 == 0 || len > FRAME {
            return Err(Failed::WrongFrame);
        }
        let mut mask = [0; 4];
        self.reader.read_exact(&mut mask).await?;
        let mut bytes = [0; FRAME];
        self.reader.read_exact(&mut bytes[..len]).await?;
        for (byte, mask) in bytes[..len].iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        Ok(ClientFrame { opcode, bytes, len })
    }

    async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.writer.write_all(frame).await?;
        self.writer.flush().await
    }

    /// Closes it, and lets the peer see that: closed with something unread, the connection would be reset.
    async fn close(mut self) {
        let closing = async {
            self.write(CLOSE).await?;
            self.writer.shutdown().await?;
            tokio::io::copy(&mut self.reader, &mut tokio::io::sink()).await
        };
        let _ = timeout(FAREWELL, closing).await;
    }
}

#[cfg(test)]
mod tests;
