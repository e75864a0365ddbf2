//! The upgrade of a session from polling to a WebSocket.

use std::sync::{Arc, Weak};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;

use super::{EngineEndpoint, copy_uri, read_body};
use crate::http::upgrade::{
    AcceptedUpgrade, StreamReader, StreamWriter, split_upgraded, switching_protocols,
};
use crate::transport::{
    socketio::{
        engine_session::EngineSession,
        probe::{self, UpgradeProbe, UpgradeState},
    },
    wire::{Outbox, OutboxStream, websocket_frames},
};

impl EngineEndpoint {
    /// Accepts a WebSocket that a session may upgrade to, and upgrades the session once its client has switched.
    pub(super) fn upgrade(
        self: Arc<Self>,
        mut request: Request<Body>,
        session: &Arc<EngineSession>,
        accepted: AcceptedUpgrade,
    ) -> Response {
        let probe = session.upgrade().and_then(UpgradeState::start_probe);
        let upgraded = hyper::upgrade::on(&mut request);
        let mut handshake = Request::new(());
        *handshake.uri_mut() = copy_uri(request.uri());
        let (outbox, session) = (session.outbox().clone(), Arc::downgrade(session));
        tokio::spawn(async move {
            let Ok(upgraded) = upgraded.await else {
                return; // the client closed before our response
            };
            let (reader, writer) = split_upgraded(upgraded);
            let Some(probe) = probe else {
                return probe::close(reader, writer).await; // another probe is running
            };
            self.run_probe(probe, (reader, writer), session, outbox, handshake)
                .await;
        });
        switching_protocols(accepted)
    }

    /// Upgrades a session to a stream once its client has switched, and returns when that has ended.
    pub(super) async fn run_probe(
        &self,
        probe: UpgradeProbe,
        (reader, writer): (StreamReader, StreamWriter),
        session: Weak<EngineSession>,
        outbox: Arc<Outbox>,
        handshake: Request<()>,
    ) {
        let switched = probe.run(reader, writer, &outbox, self.upgrade_timeout);
        let Some((reader, writer)) = switched.await else {
            return;
        };
        if let Some(session) = session.upgrade() {
            let first = self.take_pending_packets(&session).await;
            let reader = probe::prepend_probe(self.inbound_reader(reader, &session));
            let stream = OutboxStream::for_upgrade(reader, writer, session, outbox, first);
            self.serve_websocket(stream, handshake).await;
        }
    }

    /// Takes what engineioxide would put into the next poll responses, as frames. It forgets what did not fit into the last
    /// response.
    async fn take_pending_packets(&self, session: &EngineSession) -> Vec<u8> {
        let mut frames = Vec::new();
        let Some(encoding) = session.poll_encoding() else {
            return frames;
        };
        if let Some(upgrade) = session.upgrade() {
            upgrade.poll_finished().await;
        }
        while let Some(response) = self.poll_now(session) {
            match read_body(response.into_body()).await {
                Ok(body) if !body.is_empty() => {
                    let rest = session.strip_first_ping(&body).await;
                    let body = rest.map_or(body, Bytes::from);
                    frames.extend(websocket_frames(&body, encoding));
                }
                _ => break, // the session has ended
            }
        }
        frames
    }

    /// The response to a poll, if there is one at once.
    fn poll_now(&self, session: &EngineSession) -> Option<Response> {
        let response = self.forward(session.poll_request()?).now_or_never()?;
        response.status().is_success().then_some(response)
    }
}
