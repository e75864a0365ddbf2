//! The stream that socketioxide reads from and writes to in place of a WebSocket's.
//!
//! A write never blocks and fails only once the session's [`Outbox`], which takes everything, has ended; flushing does nothing more. Reads
//! block while an inbox of the session is full, so that a flood is slowed down at its source.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::{
    OutboxOwner,
    engine_frame::PROBE_REPLY,
    outbox::{Outbox, connection_closed},
};
use crate::http::upgrade::StreamWriter;

/// A pong as a client sends it, masked with zeros.
const CLIENT_PONG: &[u8] = b"\x81\x81\0\0\0\x003";

/// The stream of a WebSocket: reads come from the client, writes go to the outbox.
pub(in crate::transport) struct OutboxStream<R> {
    reader: R,
    outbox: Arc<Outbox>,
    /// The socket that a session that polls upgrades to, and the frames that are sent there first.
    pending_upgrade: Option<(StreamWriter, Vec<u8>)>,
    /// The session's outbox writes to this socket.
    attached: bool,
    /// A read has been attempted.
    read_started: bool,
    /// What is still to be read of the reply to the first ping.
    unread_pong: &'static [u8],
    /// The session that upgrades from polling.
    upgrading_session: Option<Arc<dyn OutboxOwner>>,
}

impl<R> OutboxStream<R> {
    /// The stream of a session that starts as a WebSocket. If the server is the one that pings, its first ping does not reach
    /// the client: engineioxide sends it before the reply to CONNECT, where clients that read frame by frame do not expect
    /// it. The reply to it is read from this stream before anything that the client sends.
    pub(in crate::transport) fn for_websocket(
        reader: R,
        writer: StreamWriter,
        outbox: Arc<Outbox>,
        pings: bool,
    ) -> Self {
        if pings {
            outbox.intercept_first_ping();
        }
        outbox.attach_websocket(writer);
        Self {
            reader,
            outbox,
            pending_upgrade: None,
            attached: true,
            read_started: false,
            unread_pong: if pings { CLIENT_PONG } else { &[] },
            upgrading_session: None,
        }
    }

    /// The stream of a WebSocket without socketioxide.
    pub(in crate::transport) fn for_plain(
        reader: R,
        writer: StreamWriter,
        outbox: Arc<Outbox>,
    ) -> Self {
        outbox.attach_plain(writer);
        Self {
            reader,
            outbox,
            pending_upgrade: None,
            attached: true,
            read_started: false,
            unread_pong: &[],
            upgrading_session: None,
        }
    }

    /// The stream that a session upgrades to from polling, after its client has switched. `first` are frames of socketioxide's
    /// that were not taken by polling.
    pub(in crate::transport) fn for_upgrade(
        reader: R,
        writer: StreamWriter,
        session: Arc<dyn OutboxOwner>,
        outbox: Arc<Outbox>,
        first: Vec<u8>,
    ) -> Self {
        Self {
            reader,
            outbox,
            pending_upgrade: Some((writer, first)),
            attached: false,
            read_started: false,
            unread_pong: &[],
            upgrading_session: Some(session),
        }
    }

    /// Hides write errors until the first read. engineioxide keeps a session whose first packet could not be written and
    /// never looks at it again; a session whose first read fails it ends.
    fn hide_early_error<T>(&self, result: io::Result<T>, success: T) -> Poll<io::Result<T>> {
        Poll::Ready(match result {
            Err(_) if !self.read_started => Ok(success),
            result => result,
        })
    }

    /// Reads until the client closes, and discards everything: a connection closed with unread bytes is reset, and the client
    /// would lose the last frame sent to it.
    pub(in crate::transport) async fn drain_reader(&mut self)
    where
        R: AsyncRead + Unpin,
    {
        let mut discarded = [0; 4096];
        while self
            .reader
            .read(&mut discarded)
            .await
            .is_ok_and(|read| read > 0)
        {}
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.attached {
            return self.outbox.queue_engine_bytes(bytes);
        }
        // The client has had its probe reply already. This one shows that nothing leaves by polling any more.
        if bytes.ends_with(PROBE_REPLY)
            && let Some((writer, first)) = self.pending_upgrade.take()
        {
            self.outbox.attach_upgraded(writer)?;
            self.attached = true;
            return self.outbox.queue_engine_bytes(&first);
        }
        Ok(())
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for OutboxStream<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.read_started = true;
        if self.outbox.has_ended() {
            return Poll::Ready(Ok(()));
        }
        if !self.unread_pong.is_empty() {
            if !self.outbox.poll_first_ping(context) {
                return Poll::Pending;
            }
            let (now, later) = self
                .unread_pong
                .split_at(buffer.remaining().min(self.unread_pong.len()));
            buffer.put_slice(now);
            self.unread_pong = later;
            return Poll::Ready(Ok(()));
        }
        if self.outbox.reads_paused() && !self.outbox.register_reader(context, false) {
            return Poll::Pending;
        }
        match Pin::new(&mut self.reader).poll_read(context, buffer) {
            Poll::Pending if self.outbox.register_reader(context, true) => Poll::Ready(Ok(())),
            polled => polled,
        }
    }
}

impl<R: Unpin> AsyncWrite for OutboxStream<R> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = self.write(bytes).map(|()| bytes.len());
        self.hide_early_error(result, bytes.len())
    }

    /// The writer pool writes what is queued, with what comes right behind it: the `session` event behind a reply to CONNECT, for
    /// instance.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = self.outbox.has_ended();
        self.hide_early_error(
            if ended {
                Err(connection_closed())
            } else {
                Ok(())
            },
            (),
        )
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.attached {
            self.outbox.flush();
        }
        Poll::Ready(Ok(()))
    }
}

impl<R> Drop for OutboxStream<R> {
    fn drop(&mut self) {
        if self.attached {
            self.outbox.finish();
        } else if self.outbox.is_polling() {
            self.outbox.end();
        } else {
            return; // the session has upgraded to another stream
        }
        // An upgrade that fails half-way would otherwise leave a session that answers every poll with a no-op, for ever.
        if let Some(session) = &self.upgrading_session {
            session.end_polling();
        }
    }
}

#[cfg(test)]
mod tests;
