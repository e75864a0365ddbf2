//! Reads a connection into a buffer that all connections of a thread share.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

/// The bytes of a thread's read buffer at first; it grows for what is larger.
const BUFFER: usize = 64 << 10;

/// The least room for a read.
const ROOM: usize = 16 << 10;

/// A thread's read buffer.
pub(in crate::load) struct ReadBuffer(RefCell<Vec<u8>>);

impl ReadBuffer {
    pub(in crate::load) fn new() -> Self {
        Self(RefCell::new(vec![0; BUFFER]))
    }
}

/// What a connection keeps between two reads: the begin of something that is not complete, mostly nothing.
#[derive(Debug, Default)]
pub(in crate::load) struct Reader {
    partial: Vec<u8>,
}

impl Reader {
    /// Reads once, and gives `consume` everything that is not consumed yet; it says how much of it that is. False at the end of
    /// the stream.
    pub(in crate::load) fn poll(
        &mut self,
        stream: &mut TcpStream,
        buffer: &ReadBuffer,
        cx: &mut Context<'_>,
        consume: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> Poll<io::Result<bool>> {
        let mut buffer = buffer.0.borrow_mut();
        let kept = self.partial.len();
        if buffer.len() < kept + ROOM {
            buffer.resize(2 * (kept + ROOM), 0);
        }
        let mut unfilled = ReadBuf::new(&mut buffer[kept..]);
        ready!(Pin::new(stream).poll_read(cx, &mut unfilled))?;
        let read = unfilled.filled().len();
        if read == 0 {
            return Poll::Ready(Ok(false));
        }
        buffer[..kept].copy_from_slice(&self.partial);
        let unread = &buffer[..kept + read];
        let rest = &unread[consume(unread)?..];
        if rest.is_empty() {
            // Most connections never hold anything: memory of the one time that it did is given back.
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
        Poll::Ready(Ok(true))
    }
}
