//! The stream that socketioxide reads from and writes to in place of a WebSocket's.
//!
//! Writing never waits and never fails by itself: everything goes to the session's [`Outbox`], which is bounded and ends the
//! stream. Reading waits while the session's inbox is full, so that a flood is slowed where it comes from.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::{
    Session,
    frame::PROBED,
    outbox::{Outbox, Writer},
    state::broken,
};

/// A pong as a client sends it, masked with zeros.
const CLIENT_PONG: &[u8] = b"\x81\x81\0\0\0\x003";

/// A WebSocket's stream.
pub(in crate::transport) struct Wire<R> {
    reader: R,
    outbox: Arc<Outbox>,
    /// Where a session that polls will be written to, once it has upgraded, and what goes there first.
    candidate: Option<(Writer, Vec<u8>)>,
    /// The session's outbox writes to this stream.
    taken: bool,
    /// Something has been read, or was to be.
    reading: bool,
    /// The answer to the first ping, as far as it is still to be read.
    pong: &'static [u8],
    /// The session by polling that is to be upgraded.
    upgrades: Option<Arc<dyn Session>>,
}

impl<R> Wire<R> {
    /// The stream of a session that begins as a WebSocket. If the server is the one that pings, the first ping, which
    /// engineioxide sends before CONNECT is answered, does not reach the client: clients that read frame by frame do not
    /// expect it there. It is answered here, in front of everything that the client sends.
    pub(in crate::transport) fn beginning(
        reader: R,
        writer: Writer,
        outbox: Arc<Outbox>,
        pings: bool,
    ) -> Self {
        if pings {
            outbox.swallow_first_ping();
        }
        outbox.attach(writer);
        Self {
            reader,
            outbox,
            candidate: None,
            taken: true,
            reading: false,
            pong: if pings { CLIENT_PONG } else { &[] },
            upgrades: None,
        }
    }

    /// The stream of a WebSocket that socketioxide does not know.
    pub(in crate::transport) fn plain(reader: R, writer: Writer, outbox: Arc<Outbox>) -> Self {
        outbox.open(writer);
        Self {
            reader,
            outbox,
            candidate: None,
            taken: true,
            reading: false,
            pong: &[],
            upgrades: None,
        }
    }

    /// The stream that a session by polling has upgraded to, as its client knows already; `first` are frames of
    /// socketioxide's that were left from polling.
    pub(in crate::transport) fn upgrading(
        reader: R,
        writer: Writer,
        session: Arc<dyn Session>,
        outbox: Arc<Outbox>,
        first: Vec<u8>,
    ) -> Self {
        Self {
            reader,
            outbox,
            candidate: Some((writer, first)),
            taken: false,
            reading: false,
            pong: &[],
            upgrades: Some(session),
        }
    }

    /// Before anything is read, nothing that is written fails. engineioxide keeps a session whose first packet could not
    /// be written, and never looks at it again; one whose first read fails it ends.
    fn unless_opening<T>(&self, result: io::Result<T>, as_if: T) -> Poll<io::Result<T>> {
        Poll::Ready(match result {
            Err(_) if !self.reading => Ok(as_if),
            result => result,
        })
    }

    /// Reads on until the peer ends, and keeps nothing: one that is still sending would otherwise be reset, and lose the
    /// last word that it was sent.
    pub(in crate::transport) async fn listen_out(&mut self)
    where
        R: AsyncRead + Unpin,
    {
        let mut nowhere = [0; 4096];
        while self
            .reader
            .read(&mut nowhere)
            .await
            .is_ok_and(|read| read > 0)
        {}
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.taken {
            return self.outbox.native(bytes);
        }
        // The client has been answered before; this shows that nothing leaves by polling any more.
        if bytes.ends_with(PROBED)
            && let Some((writer, first)) = self.candidate.take()
        {
            self.outbox.upgrade(writer)?;
            self.taken = true;
            return self.outbox.native(&first);
        }
        Ok(())
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Wire<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reading = true;
        if self.outbox.has_ended() {
            return Poll::Ready(Ok(()));
        }
        if !self.pong.is_empty() {
            if !self.outbox.has_swallowed_ping(context) {
                return Poll::Pending;
            }
            let (now, later) = self.pong.split_at(buffer.remaining().min(self.pong.len()));
            buffer.put_slice(now);
            self.pong = later;
            return Poll::Ready(Ok(()));
        }
        if self.outbox.brakes() && !self.outbox.waits_to_read(context, false) {
            return Poll::Pending;
        }
        match Pin::new(&mut self.reader).poll_read(context, buffer) {
            Poll::Pending if self.outbox.waits_to_read(context, true) => Poll::Ready(Ok(())),
            polled => polled,
        }
    }
}

impl<R: Unpin> AsyncWrite for Wire<R> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = self.write(bytes).map(|()| bytes.len());
        self.unless_opening(result, bytes.len())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.taken {
            self.outbox.flush();
        }
        let ended = self.outbox.has_ended();
        self.unless_opening(if ended { Err(broken()) } else { Ok(()) }, ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.taken {
            self.outbox.flush();
        }
        Poll::Ready(Ok(()))
    }
}

impl<R> Drop for Wire<R> {
    fn drop(&mut self) {
        if self.taken {
            self.outbox.finish();
        } else if self.outbox.polls() {
            self.outbox.end();
        } else {
            return; // another stream has been upgraded to, and goes on
        }
        // An upgrade that fails half-way would otherwise leave a session that answers every poll with nothing, for ever.
        if let Some(session) = &self.upgrades {
            session.leave();
        }
    }
}

#[cfg(test)]
mod tests;
