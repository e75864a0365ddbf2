//! What a session that started with polling has besides: its id at engineioxide, and the requests made in its name.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use dashmap::DashMap;
use http::{Method, Request, StatusCode, header};
use socketioxide::socket::Sid;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::EngineSession;
use crate::transport::{
    socketio::{
        inbound::{PostEncoding, ProtocolError},
        probe::UpgradeState,
    },
    wire::{PollEncoding, strip_ping},
};

/// The sessions that started with polling, by Engine.IO id: polls, POSTs and upgrades name their session by it.
pub(in crate::transport::socketio) type EngineSessions = DashMap<Sid, Weak<EngineSession>>;

/// Engine.IO's packet that closes a session.
const CLOSE: &str = "1";

/// Engine.IO's pong, which shows that a client is alive.
const PONG: &str = "3";

/// The polling side of a session.
pub(super) struct PollingSession {
    /// socketioxide's first ping has been removed from a poll response.
    first_ping_stripped: AtomicBool,
    /// A POST is being processed.
    posting: AtomicBool,
    sid: Sid,
    /// Path of its requests.
    path: String,
    /// How its client wants poll responses to be encoded.
    encoding: PollEncoding,
    upgrade: Arc<UpgradeState>,
    sessions: Weak<EngineSessions>,
}

impl PollingSession {
    /// Path and query of a request to engineioxide: in Engine.IO 4 for all sessions, except for binary bodies.
    fn uri(&self, protocol: u8) -> String {
        let Self { sid, path, .. } = self;
        format!("{path}/?EIO={protocol}&transport=polling&sid={sid}")
    }

    /// A POST to engineioxide, which decodes a body by the protocol that the address names.
    fn post_request(&self, body: Body, encoding: PostEncoding) -> Option<Request<Body>> {
        let (protocol, content_type) = match encoding {
            PostEncoding::Separated => (4, "text/plain; charset=UTF-8"),
            PostEncoding::LengthPrefixed => (3, "text/plain; charset=UTF-8"),
            PostEncoding::Binary => (3, "application/octet-stream"),
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.uri(protocol))
            .header(header::CONTENT_TYPE, content_type);
        request.body(body).ok()
    }
}

impl Drop for PollingSession {
    fn drop(&mut self) {
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.remove(&self.sid);
        }
    }
}

impl EngineSession {
    /// Registers the session as one that polls at `path`.
    pub(in crate::transport::socketio) fn register_polling(
        self: &Arc<Self>,
        sid: Sid,
        path: &str,
        encoding: PollEncoding,
        sessions: &Arc<EngineSessions>,
    ) {
        sessions.insert(sid, Arc::downgrade(self));
        let polling = PollingSession {
            // In Engine.IO 3 clients ping.
            first_ping_stripped: AtomicBool::new(encoding != PollEncoding::Separated),
            posting: AtomicBool::new(false),
            sid,
            path: path.to_owned(),
            encoding,
            upgrade: Arc::default(),
            sessions: Arc::downgrade(sessions),
        };
        // A session is opened once, so nothing is set yet.
        let _ = self.polling.set(polling.into());
    }

    /// Its upgrade, if it started with polling.
    pub(in crate::transport::socketio) fn upgrade(&self) -> Option<&Arc<UpgradeState>> {
        Some(&self.polling.get()?.upgrade)
    }

    /// Whether its requests are in this version of Engine.IO.
    pub(in crate::transport::socketio) fn polls_in(&self, protocol: u8) -> bool {
        let separated = self.poll_encoding() == Some(PollEncoding::Separated);
        separated == (protocol == 4)
    }

    /// How its client wants poll responses to be encoded, if it started with polling.
    pub(in crate::transport::socketio) fn poll_encoding(&self) -> Option<PollEncoding> {
        Some(self.polling.get()?.encoding)
    }

    /// A poll of the session, which engineioxide answers in Engine.IO 4.
    pub(in crate::transport::socketio) fn poll_request(&self) -> Option<Request<Body>> {
        let request = Request::builder().uri(self.polling.get()?.uri(4));
        request.body(Body::empty()).ok()
    }

    /// Removes socketioxide's first ping from a poll response and replies to it; `None` if the response does not have it.
    /// socketioxide sends it before the reply to CONNECT, where clients do not expect it.
    pub(in crate::transport::socketio) async fn strip_first_ping(
        &self,
        body: &[u8],
    ) -> Option<Vec<u8>> {
        let polling = self.polling.get()?;
        if polling.first_ping_stripped.load(Ordering::Relaxed) {
            return None;
        }
        let rest = strip_ping(body)?;
        polling.first_ping_stripped.store(true, Ordering::Relaxed);
        // The session may upgrade right behind this, and would refuse the reply then.
        if let Some(sent) = self.send_heartbeat() {
            let _ = sent.await;
        }
        Some(rest)
    }

    /// Starts a POST; `None` while another one is being processed.
    pub(in crate::transport::socketio) fn start_post(self: &Arc<Self>) -> Option<PostGuard> {
        let polling = self.polling.get()?;
        let started = !polling.posting.swap(true, Ordering::Relaxed);
        started.then(|| PostGuard(self.clone()))
    }

    /// Posts packets to engineioxide in the client's name. Returns engineioxide's response.
    pub(in crate::transport::socketio) async fn post(
        &self,
        body: Body,
        encoding: PostEncoding,
    ) -> Response {
        let Some(request) = self.post_request(body, encoding) else {
            return StatusCode::BAD_REQUEST.into_response(); // it does not poll
        };
        match self.engine.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// Closes a session that polls because of what its client sent. It has ended when this returns.
    pub(in crate::transport::socketio) async fn close_for(&self, error: ProtocolError) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            self.inbound.record_close(error);
            self.outbox.end();
            self.post(Body::from(CLOSE), PostEncoding::Separated).await;
        }
    }

    /// Shows socketioxide that a client that polls is alive, even if nobody waits for it.
    pub(in crate::transport::socketio) fn send_heartbeat(&self) -> Option<JoinHandle<()>> {
        self.post_in_background(PONG)
    }

    pub(super) fn post_close(&self) {
        drop(self.post_in_background(CLOSE));
    }

    /// Posts an Engine.IO packet in the name of a client that polls.
    fn post_in_background(&self, packet: &'static str) -> Option<JoinHandle<()>> {
        let request = self.post_request(Body::from(packet), PostEncoding::Separated)?;
        let engine = self.engine.clone();
        // A session that has upgraded refuses this.
        Some(tokio::spawn(
            async move { drop(engine.oneshot(request).await) },
        ))
    }

    fn post_request(&self, body: Body, encoding: PostEncoding) -> Option<Request<Body>> {
        self.polling.get()?.post_request(body, encoding)
    }
}

/// The one POST of a session that is being processed.
pub(in crate::transport::socketio) struct PostGuard(Arc<EngineSession>);

impl Drop for PostGuard {
    fn drop(&mut self) {
        if let Some(polling) = self.0.polling.get() {
            polling.posting.store(false, Ordering::Relaxed);
        }
    }
}
