//! Sessions of WebTransport: one stream of packets, which opens a session or is what one that polls upgrades to.
//!
//! The first packet says which: `0`, or `0` with the id of the session.

use std::{io, sync::Arc};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode, Uri};
use serde::Deserialize;
use socketioxide::socket::Sid;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use super::{EngineEndpoint, UNKNOWN_SESSION, handshake::handshake_request};
use crate::{
    error::{Error, Result},
    http::{
        upgrade::{StreamReader, StreamWriter},
        webtransport::{IncomingSession, SessionWriter},
    },
    hub::CloseReason,
    transport::{
        Transport,
        close_codes::{PROTOCOL, close_code},
        socketio::{probe::UpgradeState, query::EngineQuery},
        wire::{PacketReader, PacketStream, PacketWriter},
    },
};

/// Longest first packet: with the id of a session it has some forty bytes.
const MAX_FIRST_PACKET: u8 = 125;

/// The handshake of a client of WebTransport, which speaks Engine.IO 4, as that of a WebSocket, which engineioxide knows.
const HANDSHAKE: EngineQuery = EngineQuery {
    protocol: 4,
    sid: None,
    websocket: true,
    base64: false,
};

impl PacketStream for SessionWriter {
    fn close(&mut self, code: u16, reason: &[u8]) {
        SessionWriter::close(self, code, reason);
    }
}

impl EngineEndpoint {
    /// Accepts a session, and serves it.
    pub(super) fn webtransport(
        self: Arc<Self>,
        request: Request<Body>,
        incoming: IncomingSession,
    ) -> Result<Response> {
        self.admission
            .check_websocket_origin(request.headers(), request.extensions())?;
        self.admission.check_not_draining()?;
        if !self.transports.contains(&Transport::WebSocket) {
            return Err(Error::forbidden(
                "socketio.transports has no websocket, which WebTransport counts as",
            ));
        }
        tokio::spawn(async move {
            let opened = timeout(self.upgrade_timeout, async {
                let (mut reader, writer) = incoming.accept().await?;
                let sid = read_first_packet(&mut reader).await?;
                io::Result::Ok((sid, reader, writer))
            });
            match opened.await {
                Ok(Ok((None, reader, writer))) => self.open_stream(request, reader, writer).await,
                Ok(Ok((Some(sid), reader, writer))) => {
                    self.upgrade_to_stream(request.uri(), sid, reader, writer)
                        .await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a WebTransport session was not begun"),
                Err(_) => tracing::debug!("a WebTransport session was not begun in time"),
            }
        });
        Ok(StatusCode::SWITCHING_PROTOCOLS.into_response())
    }

    /// Opens a session.
    async fn open_stream(
        &self,
        mut request: Request<Body>,
        reader: impl AsyncRead + Send + Unpin + 'static,
        mut writer: SessionWriter,
    ) {
        *request.uri_mut() = HANDSHAKE.normalized(request.uri());
        let (parts, _) = request.into_parts();
        let session = match self.admit(&parts, HANDSHAKE.protocol).await {
            Ok(session) => session,
            Err(error) => {
                self.admission.hub().metrics().error(&error);
                let code = close_code(CloseReason::Refused(error.code()));
                writer.close(code, error.message().as_bytes());
                return;
            }
        };
        session.start_connect_timeout(self.connect_timeout, false);
        let request = Request::from_parts(parts, ());
        let handshake = handshake_request(&request, &session, self.shows_requests());
        self.serve_session(
            as_websocket(reader, writer),
            session,
            HANDSHAKE.protocol,
            handshake,
        )
        .await;
    }

    /// Upgrades a session that polls.
    async fn upgrade_to_stream(
        &self,
        uri: &Uri,
        sid: Sid,
        reader: impl AsyncRead + Send + Unpin + 'static,
        mut writer: SessionWriter,
    ) {
        let session = self.sessions.get(&sid);
        let session = session.and_then(|session| session.upgrade());
        let session = session.filter(|session| session.polls_in(HANDSHAKE.protocol));
        let Some(session) = session else {
            return writer.close(PROTOCOL, UNKNOWN_SESSION.as_bytes());
        };
        let Some(probe) = session.upgrade().and_then(UpgradeState::start_probe) else {
            return; // another probe is running
        };
        let query = EngineQuery {
            sid: Some(sid),
            ..HANDSHAKE
        };
        let mut handshake = Request::new(());
        *handshake.uri_mut() = query.normalized(uri);
        let (outbox, session) = (session.outbox().clone(), Arc::downgrade(&session));
        let stream = as_websocket(reader, writer);
        self.run_probe(probe, stream, session, outbox, handshake)
            .await;
    }
}

/// Presents a stream of packets as a WebSocket.
fn as_websocket(
    reader: impl AsyncRead + Send + Unpin + 'static,
    writer: SessionWriter,
) -> (StreamReader, StreamWriter) {
    (
        Box::new(PacketReader::new(reader)),
        Box::new(PacketWriter::new(writer)),
    )
}

/// Reads the packet that opens the stream, and nothing behind it. Returns the session that it is to upgrade.
async fn read_first_packet(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Sid>> {
    #[derive(Deserialize)]
    struct Open<'a> {
        sid: &'a str,
    }
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "no open packet");
    let length = reader.read_u8().await?;
    if !(1..=MAX_FIRST_PACKET).contains(&length) {
        return Err(malformed());
    }
    let mut packet = vec![0; length.into()];
    reader.read_exact(&mut packet).await?;
    match packet.split_first() {
        Some((b'0', [])) => Ok(None),
        Some((b'0', data)) => {
            let open: Open<'_> = serde_json::from_slice(data).map_err(|_| malformed())?;
            open.sid.parse().map(Some).map_err(|_| malformed())
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests;
