//! The memory that bytes of WebSockets are read into: one buffer for all connections of a thread, because only one is read at a time.
//!
//! A buffer of each connection's own would be empty almost always, and takes more memory than everything else that an idle
//! connection needs. What is read and not used yet is kept by the connection, for as long as that lasts.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

use crate::http::upgrade::drain_into;

/// Bytes of the buffer that a WebSocket's parser has of its own: small, because it is filled from memory.
pub(super) const PARSER_BUFFER: usize = 256;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends this thread's buffer, `size` bytes of it, which hold anything.
pub(super) fn with_read_buffer<T>(size: usize, read: impl FnOnce(&mut [u8]) -> T) -> T {
    // Taken out meanwhile: a use within a use has a buffer of its own.
    let mut buffer = BUFFER.take();
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    let result = read(&mut buffer[..size]);
    BUFFER.set(buffer);
    result
}

/// Reads a stream in pieces of the thread's buffer, whatever the size of its caller's.
pub(super) struct SharedBufferReader<R> {
    reader: R,
    size: usize,
    /// Read, and not passed on yet.
    rest: BytesMut,
}

impl<R> SharedBufferReader<R> {
    /// Reads up to `size` bytes at a time.
    pub(super) fn new(reader: R, size: usize) -> Self {
        Self {
            reader,
            size,
            rest: BytesMut::new(),
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for SharedBufferReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.rest.is_empty() {
            drain_into(&mut this.rest, buffer);
            return Poll::Ready(Ok(()));
        }
        if buffer.remaining() >= this.size {
            return Pin::new(&mut this.reader).poll_read(context, buffer);
        }
        with_read_buffer(this.size, |shared| {
            let mut shared = ReadBuf::new(shared);
            ready!(Pin::new(&mut this.reader).poll_read(context, &mut shared))?;
            let (now, later) = split_for(shared.filled(), buffer);
            buffer.put_slice(now);
            this.rest.extend_from_slice(later);
            Poll::Ready(Ok(()))
        })
    }
}

/// Splits off what has room in `buffer`.
pub(super) fn split_for<'a>(bytes: &'a [u8], buffer: &ReadBuf<'_>) -> (&'a [u8], &'a [u8]) {
    bytes.split_at(bytes.len().min(buffer.remaining()))
}

#[cfg(test)]
mod tests;
