//! The byte stream beneath a WebSocket, with a way to end it from outside.
//!
//! socketioxide offers no way to close a transport whose peer does not read: its writer waits in the stream and holds
//! what closing needs. Here the stream itself ends: reads see the end, writes fail, and whoever waits is woken.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A request to end a stream, seen by every task that waits in it.
#[derive(Debug, Default)]
pub(super) struct Cut {
    made: AtomicBool,
    /// The tasks that wait: the one that reads, the one that writes, and for a moment the one that shook hands.
    waiting: Mutex<Vec<Waker>>,
}

impl Cut {
    /// Ends the stream; doing it again does nothing.
    pub(super) fn make(&self) {
        self.made.store(true, Ordering::SeqCst);
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    fn is_made(&self) -> bool {
        self.made.load(Ordering::SeqCst)
    }

    /// Notes that the current task waits. True if the stream ended meanwhile, so that no wake-up is lost between
    /// looking and waiting.
    fn wait(&self, context: &Context<'_>) -> bool {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
        }
        self.is_made()
    }
}

/// A stream that a [`Cut`] ends.
pub(super) struct Wire<S, G> {
    stream: S,
    cut: Arc<Cut>,
    /// Something has been read, or was to be.
    reading: bool,
    /// Dropped with the stream, to do what is due then.
    _at_end: G,
}

impl<S, G> Wire<S, G> {
    /// Wraps `stream`; `at_end` is dropped with it.
    pub(super) fn new(stream: S, cut: Arc<Cut>, at_end: G) -> Self {
        Self {
            stream,
            cut,
            reading: false,
            _at_end: at_end,
        }
    }

    /// Before anything is read, nothing that is written fails. engineioxide keeps a session whose first packet could not
    /// be written, and never looks at it again; one whose first read fails it ends.
    fn unless_opening<T>(&self, polled: Poll<io::Result<T>>, as_if: T) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(Err(_)) if !self.reading => Poll::Ready(Ok(as_if)),
            polled => polled,
        }
    }

    /// Turns "not now" into the stream's end when it has been cut.
    fn unless_cut<T>(
        &self,
        context: &Context<'_>,
        polled: Poll<io::Result<T>>,
        ended: impl FnOnce() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match polled {
            Poll::Pending if self.cut.wait(context) => Poll::Ready(ended()),
            polled => polled,
        }
    }
}

fn broken<T>() -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the server closed the connection",
    ))
}

impl<S: AsyncRead + Unpin, G: Unpin> AsyncRead for Wire<S, G> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reading = true;
        if self.cut.is_made() {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.unless_cut(context, polled, || Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, G: Unpin> AsyncWrite for Wire<S, G> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.cut.is_made() {
            return self.unless_opening(Poll::Ready(broken()), bytes.len());
        }
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        let polled = self.unless_cut(context, polled, broken);
        self.unless_opening(polled, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.cut.is_made() {
            return self.unless_opening(Poll::Ready(broken()), ());
        }
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        let polled = self.unless_cut(context, polled, broken);
        self.unless_opening(polled, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.cut.is_made() {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.unless_cut(context, polled, || Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

    #[tokio::test]
    async fn a_cut_wakes_a_reader_and_a_writer_that_both_wait() {
        for _ in 0..200 {
            let (near, _far) = duplex(16);
            let cut = Arc::new(Cut::default());
            let (mut reader, mut writer) = split(Wire::new(near, cut.clone(), ()));
            let reading = tokio::spawn(async move { reader.read(&mut [0; 8]).await });
            let writing = tokio::spawn(async move { writer.write_all(&[0; 64]).await });
            tokio::task::yield_now().await;
            cut.make();
            assert_eq!(reading.await.unwrap().unwrap(), 0);
            assert!(writing.await.unwrap().is_err());
        }
    }

    #[tokio::test]
    async fn writing_to_a_peer_that_has_gone_fails_only_after_the_first_read() {
        let (near, far) = duplex(16);
        drop(far);
        let mut wire = Wire::new(near, Arc::new(Cut::default()), ());
        wire.write_all(b"open").await.unwrap();
        wire.flush().await.unwrap();
        assert_eq!(wire.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(wire.write_all(b"more").await.is_err());
    }

    #[tokio::test]
    async fn bytes_pass_unchanged_until_the_cut() {
        let (near, mut far) = duplex(16);
        let cut = Arc::new(Cut::default());
        let mut wire = Wire::new(near, cut.clone(), ());
        wire.write_all(b"over").await.unwrap();
        let mut got = [0; 4];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"over");
        far.write_all(b"back").await.unwrap();
        wire.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"back");
        cut.make();
        assert!(wire.write_all(b"x").await.is_err());
        assert_eq!(wire.read(&mut got).await.unwrap(), 0);
    }
}
