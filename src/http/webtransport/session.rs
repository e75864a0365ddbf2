//! A session: offered, accepted, and closed once everything that was sent has arrived.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{io::AsyncWrite, runtime::Handle, sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::task::TaskTracker;
use wtransport::{Connection, RecvStream, SendStream, VarInt, endpoint::SessionRequest};

use crate::{
    http::idle::{ConnectionActivity, OpenRequest},
    sync::lock,
};

/// How long what was sent last may take to arrive before the session is closed all the same.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A session that a client asks for; an extension of its request. Dropped without being accepted, it is refused.
#[derive(Clone)]
pub(crate) struct IncomingSession(Arc<Mutex<Option<OfferedSession>>>);

pub(super) struct OfferedSession {
    pub(super) request: SessionRequest,
    pub(super) place: SessionPlace,
}

/// What a session holds until it has ended.
pub(super) struct SessionPlace {
    /// Its place among all of them.
    pub(super) _permit: OwnedSemaphorePermit,
    /// Until it is begun it counts as an idle connection, and may be closed to make room.
    pub(super) activity: Arc<ConnectionActivity>,
    /// The sessions that are being closed.
    pub(super) closing: TaskTracker,
}

impl IncomingSession {
    pub(super) fn new(offered: OfferedSession) -> Self {
        Self(Arc::new(Mutex::new(Some(offered))))
    }

    /// Takes back what nobody has accepted.
    pub(super) fn take(&self) -> Option<OfferedSession> {
        lock(&self.0).take()
    }

    /// Accepts the session, and waits for the one stream that its client opens.
    ///
    /// # Errors
    /// The client is gone, or its connection is closed to make room for others.
    pub(crate) async fn accept(self) -> io::Result<(RecvStream, SessionWriter)> {
        let offered = self.take().ok_or(io::ErrorKind::NotConnected)?;
        let connection = offered.request.accept().await.map_err(io::Error::other)?;
        let session = AcceptedSession {
            connection,
            place: offered.place,
        };
        let opened = tokio::select! {
            opened = session.connection.accept_bi() => opened,
            () = session.place.activity.closed() => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        let (stream, reader) = opened.map_err(io::Error::other)?;
        let begun = session.place.activity.open_request();
        let session = OpenSession {
            stream,
            session,
            _begun: begun,
        };
        Ok((reader, SessionWriter(Some(session))))
    }
}

/// A session whose connection is closed when this is dropped. Otherwise it would stay as long as its client likes.
struct AcceptedSession {
    connection: Connection,
    place: SessionPlace,
}

impl Drop for AcceptedSession {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(0), b"");
    }
}

struct OpenSession {
    stream: SendStream,
    session: AcceptedSession,
    _begun: OpenRequest,
}

/// Writes to the client's stream. Dropped, it closes the session.
pub(crate) struct SessionWriter(Option<OpenSession>);

impl SessionWriter {
    /// Closes the session, and tells the client why, after what was written has arrived.
    pub(crate) fn close(&mut self, code: u16, reason: &[u8]) {
        let (Some(mut open), Ok(runtime)) = (self.0.take(), Handle::try_current()) else {
            return;
        };
        let (reason, closing) = (reason.to_vec(), open.session.place.closing.clone());
        let closed = closing.track_future(async move {
            let _ = timeout(CLOSE_TIMEOUT, open.stream.finish()).await;
            let code = VarInt::from_u32(code.into());
            open.session.connection.close(code, &reason);
        });
        runtime.spawn(closed);
    }

    fn stream(&mut self) -> io::Result<Pin<&mut SendStream>> {
        let open = self.0.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(&mut open.stream))
    }
}

impl AsyncWrite for SessionWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    /// What is written is sent; the stream keeps nothing.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close(0, b"");
        Poll::Ready(Ok(()))
    }
}

impl Drop for SessionWriter {
    fn drop(&mut self) {
        self.close(0, b"");
    }
}
