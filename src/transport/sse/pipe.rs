//! The pipe between a stream's outbox and its response body: bounded, and without memory of its own while it is empty, which it is
//! almost always.

use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::io::AsyncWrite;

use crate::sync::lock;

/// A pipe that holds up to `limit` bytes.
pub(super) fn pipe(limit: usize) -> (PipeWriter, PipeReader) {
    let pipe = Arc::new(Pipe {
        limit,
        state: Mutex::default(),
    });
    (PipeWriter(pipe.clone()), PipeReader(pipe))
}

struct Pipe {
    limit: usize,
    state: Mutex<PipeState>,
}

#[derive(Default)]
struct PipeState {
    bytes: BytesMut,
    /// One of the ends is gone: nothing more is written.
    closed: bool,
    /// The task that waits for bytes.
    reader: Option<Waker>,
    /// The task that waits for room.
    writer: Option<Waker>,
}

/// The end that is written to; the other one ends when this is dropped.
pub(super) struct PipeWriter(Arc<Pipe>);

/// The end that is read, piece by piece; writing fails when this is dropped.
pub(super) struct PipeReader(Arc<Pipe>);

impl Pipe {
    fn poll_write<'a>(
        &self,
        context: &Context<'_>,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.state);
        if state.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let before = state.bytes.len();
        if before >= self.limit {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        for part in parts {
            let room = self.limit - state.bytes.len();
            state.bytes.extend_from_slice(&part[..part.len().min(room)]);
        }
        let written = state.bytes.len() - before;
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(written))
    }

    fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let wakers = (state.reader.take(), state.writer.take());
        drop(state);
        wakers.0.into_iter().chain(wakers.1).for_each(Waker::wake);
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, std::iter::once(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, parts.iter().map(|part| &**part))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Stream for PipeReader {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = lock(&self.0.state);
        if state.bytes.is_empty() {
            if state.closed {
                return Poll::Ready(None);
            }
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let bytes = mem::take(&mut state.bytes).freeze();
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(Ok(bytes)))
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests;
