//! The handshake: opens a session by polling or as a WebSocket.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header, request::Parts};
use socketioxide::socket::Sid;

use super::{EngineEndpoint, WEBSOCKET_UPGRADE, copy_uri, read_body};
use crate::{
    error::{Error, Result},
    hooks::HookPermit,
    http::upgrade::{
        AcceptedUpgrade, StreamReader, StreamWriter, split_upgraded, switching_protocols,
    },
    limits::Account,
    transport::{
        TOKEN_NEEDED, client_address,
        socketio::{
            engine_session::EngineSession,
            inbound::{EngineProtocol, InboundConfig},
            query::EngineQuery,
        },
        wire::{OutboxStream, PollEncoding},
    },
};

impl EngineEndpoint {
    /// Opens a session.
    pub(super) async fn open_session(
        self: Arc<Self>,
        request: Request<Body>,
        query: &EngineQuery,
        accepted: Option<AcceptedUpgrade>,
    ) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let session = self.admit(&parts, query.protocol).await?;
        // If the main namespace is an application's, the client is connected to that, which is not seen here.
        let close = query.protocol == 3 && self.served_namespaces.contains("/");
        session.start_connect_timeout(self.connect_timeout, close);
        let mut request = Request::from_parts(parts, body);
        if let Some(accepted) = accepted {
            return Ok(self.open_websocket(request, session, query.protocol, accepted));
        }
        request.extensions_mut().insert(session.clone());
        let encoding = PollEncoding::new(query.protocol, query.base64);
        self.open_polling(request, &session, encoding).await
    }

    /// Admits a new session.
    pub(super) async fn admit(&self, request: &Parts, protocol: u8) -> Result<Arc<EngineSession>> {
        let trust = self.admission.trust(request);
        let (admitted, principal) = self.admission.admit_early(request, trust).await?;
        let identified = principal.is_some() || self.admission.hub().authority().is_open();
        // socketioxide connects such a client to the main namespace without a CONNECT.
        let connects = protocol == 3 && !self.served_namespaces.contains("/");
        if connects && !identified && self.io.of("/").is_some() {
            return Err(Error::unauthorized(TOKEN_NEEDED));
        }
        let holder = self.admission.holder(request, principal.as_ref());
        let metrics = self.admission.hub().metrics().clone();
        let inbound = InboundConfig {
            protocol: match protocol {
                3 => EngineProtocol::V3,
                _ => EngineProtocol::V4,
            },
            served_namespaces: self.served_namespaces.clone(),
            identified,
            max_packet: self.max_payload,
            rate: self.admission.packet_rate(),
            account: Account::new(self.admission.hub().memory().clone(), holder),
        };
        Ok(EngineSession::new(
            self.engine.clone(),
            principal,
            (admitted, client_address(&request.extensions).ip, trust),
            self.admission.outbox_config(),
            &inbound,
            metrics,
        ))
    }

    /// Whether somebody may read the request of a handshake later: the application, or a hook that is asked about clients.
    pub(super) fn shows_requests(&self) -> bool {
        self.has_application || self.admission.hub().hooks().asks(HookPermit::Connect, None)
    }

    /// Opens a session that polls and registers its id, so that later requests find it.
    async fn open_polling(
        &self,
        request: Request<Body>,
        session: &Arc<EngineSession>,
        encoding: PollEncoding,
    ) -> Result<Response> {
        let upgrades = self.upgrades(request.extensions());
        let (parts, body) = self.forward(request).await.into_parts();
        let mut body = read_body(body).await?;
        if parts.status.is_success() {
            body = with_upgrades(body, upgrades);
        }
        if parts.status.is_success()
            && let Some(sid) = parse_sid(&body)
        {
            session.register_polling(sid, &self.path, encoding, &self.sessions);
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    /// Opens a session as a WebSocket.
    fn open_websocket(
        self: Arc<Self>,
        mut request: Request<Body>,
        session: Arc<EngineSession>,
        protocol: u8,
        accepted: AcceptedUpgrade,
    ) -> Response {
        let upgraded = hyper::upgrade::on(&mut request);
        let handshake = handshake_request(&request, &session, self.shows_requests());
        tokio::spawn(async move {
            let Ok(upgraded) = upgraded.await else {
                return; // the client closed before our response
            };
            let stream = split_upgraded(upgraded);
            self.serve_session(stream, session, protocol, handshake)
                .await;
        });
        switching_protocols(accepted)
    }

    /// Hands a new session's stream to socketioxide, and returns when it has ended.
    pub(super) async fn serve_session(
        &self,
        (reader, writer): (StreamReader, StreamWriter),
        session: Arc<EngineSession>,
        protocol: u8,
        handshake: Request<()>,
    ) {
        let reader = self.inbound_reader(reader, &session);
        let outbox = session.outbox().clone();
        drop(session);
        let stream = OutboxStream::for_websocket(reader, writer, outbox, protocol == 4);
        self.serve_websocket(stream, handshake).await;
    }
}

/// The handshake that socketioxide keeps as long as the session lives. Headers and address are copied: as they came they are
/// slices of the HTTP connection's read buffer and would keep all of it. Of the headers those are kept that are read later: with
/// `shown` all but those of the upgrade itself, which say nothing about the client.
pub(super) fn handshake_request<B>(
    request: &Request<B>,
    session: &Arc<EngineSession>,
    shown: bool,
) -> Request<()> {
    let mut handshake = Request::new(());
    *handshake.uri_mut() = copy_uri(request.uri());
    let is_kept = |name: &HeaderName| match shown {
        true => !OF_UPGRADE.contains(name),
        false => WITH_TOKEN.contains(name),
    };
    let headers = request.headers().iter();
    let kept: Vec<_> = headers.filter(|(name, _)| is_kept(name)).collect();
    let mut headers = HeaderMap::with_capacity(kept.len());
    for (name, value) in kept {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.append(name.clone(), value);
        }
    }
    *handshake.headers_mut() = headers;
    handshake.extensions_mut().insert(session.clone());
    handshake
}

/// Headers that a token may be in, which each CONNECT may need.
const WITH_TOKEN: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

/// Headers that concern the upgrade to a WebSocket only (RFC 6455, 4.1).
const OF_UPGRADE: [HeaderName; 5] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

/// An open packet by polling, with these upgrades in place of engineioxide's, as JSON.
fn with_upgrades(body: Bytes, upgrades: &str) -> Bytes {
    let Ok(text) = std::str::from_utf8(&body) else {
        return body;
    };
    // In Engine.IO 3 the packet's length is before it, so it can only be left as it is.
    if upgrades == WEBSOCKET_UPGRADE || !text.starts_with('0') {
        return body;
    }
    text.replacen(WEBSOCKET_UPGRADE, upgrades, 1).into()
}

/// Reads the id from the open packet that responds to a handshake by polling: `0{"sid":"…",…}`, with a length before it in
/// Engine.IO 3.
fn parse_sid(body: &[u8]) -> Option<Sid> {
    #[derive(serde::Deserialize)]
    struct Open<'a> {
        sid: &'a str,
    }
    let start = body.iter().position(|byte| *byte == b'{')?;
    let open: Open<'_> = serde_json::from_slice(&body[start..]).ok()?;
    open.sid.parse().ok()
}

#[cfg(test)]
mod tests;
