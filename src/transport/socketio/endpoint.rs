//! The HTTP side of the Socket.IO transport: every request under its path.
//!
//! Admission happens before anything is upgraded or kept ([`handshake`]). WebSockets are upgraded here and handed to
//! socketioxide as an [`OutboxStream`], so that the server can close them; polls and POSTs are passed on ([`polling`]). A
//! session that polls may switch to a WebSocket ([`upgrade`]).

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Extensions, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt;
use tower::{Service, ServiceExt};

use super::{
    Engine, PubSubDriver, SocketIo,
    engine_session::{EngineSession, EngineSessions},
    inbound::{ProtocolError, WebSocketReader},
    query::{EngineQuery, EngineRequestError},
};
#[cfg(feature = "webtransport")]
use crate::http::webtransport::IncomingSession;
use crate::{
    error::{Code, Error, Result},
    http::{
        TlsAcceptor, client_address,
        upgrade::{AcceptedUpgrade, StreamReader, accept_upgrade},
    },
    retry::log_rarely,
    transport::{
        AdmissionControl, Transport,
        message_memory::{MemoryLimitedReader, ReaderContext},
        packet_rate::PacedReader,
        wire::OutboxStream,
    },
};

mod handshake;
mod polling;
mod upgrade;
#[cfg(feature = "webtransport")]
mod webtransport;

/// Checks requests and passes them on to socketioxide.
pub(super) struct EngineEndpoint {
    pub(super) admission: Arc<AdmissionControl>,
    pub(super) engine: Engine,
    pub(super) sessions: Arc<EngineSessions>,
    /// Engine.IO transports that clients may use.
    pub(super) transports: Vec<Transport>,
    pub(super) path: String,
    pub(super) body_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) upgrade_timeout: Duration,
    pub(super) max_payload: usize,
    /// How many bytes of a WebSocket are read at a time.
    pub(super) read_size: usize,
    /// The namespaces of the configuration.
    pub(super) served_namespaces: Arc<HashSet<String>>,
    /// There is an application in this process.
    pub(super) has_application: bool,
    pub(super) io: SocketIo,
    pub(super) pubsub: PubSubDriver,
    /// The certificates that WebTransport is served with; `None` if it is not.
    pub(super) webtransport: Option<TlsAcceptor>,
}

/// The upgrades that engineioxide writes into an open packet.
const WEBSOCKET_UPGRADE: &str = r#"["websocket"]"#;

/// The error for a session id that this node does not know.
const UNKNOWN_SESSION: &str = "Session ID unknown: it has ended, or belongs to another node; with several nodes route each client to one node (sticky sessions), or have clients use only the websocket transport";

impl EngineEndpoint {
    /// Handles one request under the Socket.IO path.
    pub(super) async fn handle(self: Arc<Self>, request: Request<Body>) -> Response {
        let result = self.clone().route(request).await;
        let mut response = result.unwrap_or_else(|error| self.admission.reject(&error));
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let no_store = HeaderValue::from_static("no-store");
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, no_store);
        }
        response
    }

    async fn route(self: Arc<Self>, mut request: Request<Body>) -> Result<Response> {
        #[cfg(feature = "webtransport")]
        if let Some(incoming) = request.extensions_mut().remove::<IncomingSession>() {
            return self.webtransport(request, incoming);
        }
        self.admission
            .check_websocket_origin(request.headers(), request.extensions())?;
        let query = match EngineQuery::parse(request.method(), request.uri(), &self.transports) {
            Ok(query) => query,
            Err(error) => return Ok(error.into_response()),
        };
        *request.uri_mut() = query.normalized(request.uri());
        // Checked before admission: a request that cannot become a session must not take a place.
        let accepted = match query
            .websocket
            .then(|| accept_upgrade(&request))
            .transpose()
        {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a WebSocket was refused");
                return Ok(EngineRequestError::BadRequest.into_response());
            }
        };
        let Some(sid) = query.sid else {
            return self.open_session(request, &query, accepted).await;
        };
        let session = self
            .sessions
            .get(&sid)
            .and_then(|session| session.upgrade());
        match session {
            None => Ok(self.unknown_session()),
            Some(session) if !session.polls_in(query.protocol) => {
                Ok(EngineRequestError::BadRequest.into_response())
            }
            Some(session) => {
                self.continue_session(request, session, query.protocol, accepted)
                    .await
            }
        }
    }

    /// Handles a request of a session that started with polling.
    async fn continue_session(
        self: Arc<Self>,
        request: Request<Body>,
        session: Arc<EngineSession>,
        protocol: u8,
        accepted: Option<AcceptedUpgrade>,
    ) -> Result<Response> {
        if let Some(accepted) = accepted {
            return Ok(self.upgrade(request, &session, accepted));
        }
        if session.upgrade().is_some_and(|upgrade| upgrade.is_done()) {
            return Ok(EngineRequestError::BadRequest.into_response()); // it does not poll any more
        }
        let mut response = if request.method() == Method::POST {
            let Some(_post) = session.start_post() else {
                return Err(close_for(&session, ProtocolError::OVERLAPPING_POST).await);
            };
            self.wait_while_paused(&session).await;
            self.post(request, &session, protocol).await
        } else {
            self.poll(&session).await
        }?;
        if response.status() == StatusCode::BAD_REQUEST
            && response.headers().get(header::CONTENT_TYPE).is_none()
        {
            return Ok(EngineRequestError::BadRequest.into_response()); // engineioxide does not say why
        }
        response.extensions_mut().insert(session.account().holder());
        Ok(response)
    }

    /// Responds like Engine.IO to an unknown session id, with possible causes. A session that has ended is nothing special;
    /// but if clients are routed to changing nodes, hardly any of them gets through, and an operator should know.
    fn unknown_session(&self) -> Response {
        if self.pubsub.has_other_nodes() {
            log_rarely!(warn, "a request was refused: {UNKNOWN_SESSION}");
        }
        EngineRequestError::UnknownSession(UNKNOWN_SESSION).into_response()
    }

    async fn forward(&self, request: Request<Body>) -> Response {
        match self.engine.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// What a client that polls may upgrade to, as JSON. To WebTransport if it came to this server itself, over TLS, so that HTTP/3 may get
    /// through, too.
    fn upgrades(&self, request: &Extensions) -> &'static str {
        let tls = self.webtransport.as_ref();
        let has_webtransport =
            tls.is_some_and(TlsAcceptor::serves_quic) && client_address(request).tls;
        match (
            self.transports.contains(&Transport::WebSocket),
            has_webtransport,
        ) {
            (false, _) => "[]",
            (true, false) => WEBSOCKET_UPGRADE,
            (true, true) => r#"["websocket","webtransport"]"#,
        }
    }

    /// The read half that socketioxide gets for a client's WebSocket.
    fn inbound_reader(&self, reader: StreamReader, session: &EngineSession) -> StreamReader {
        let inbound = session.inbound();
        let paced = PacedReader::new(reader, inbound.rate().clone());
        let bearer = ReaderContext {
            account: session.account().clone(),
            outbox: session.outbox().clone(),
            metrics: self.admission.hub().metrics().clone(),
            stall: self.admission.hub().limits().stall,
        };
        let limited = MemoryLimitedReader::new(paced, bearer);
        let limited = Box::new(limited);
        Box::new(WebSocketReader::new(
            limited,
            inbound.clone(),
            self.read_size,
        ))
    }

    /// Hands a WebSocket to socketioxide, and returns when it has ended.
    async fn serve_websocket(&self, stream: OutboxStream<StreamReader>, handshake: Request<()>) {
        if let Err(error) = self.engine.clone().call((stream, handshake)).await {
            tracing::debug!(%error, "a WebSocket was refused after its upgrade");
        }
    }
}

/// Closes a session that polls because of what its client sent. Returns the error to respond with.
async fn close_for(session: &EngineSession, error: ProtocolError) -> Error {
    session.close_for(error).await;
    match error {
        ProtocolError::TOO_LARGE => Error::new(Code::TooLarge, error.message),
        error => Error::bad_request(error.message),
    }
}

/// Collects a response body of socketioxide's, which has it in memory.
async fn read_body(body: Body) -> Result<Bytes> {
    let body = body.collect().await.map_err(|error| {
        Error::new(Code::Internal, "socketioxide's response could not be read").caused_by(error)
    })?;
    Ok(body.to_bytes())
}

/// Copies an address. As it came it is a slice of the HTTP connection's read buffer and would keep all of it.
fn copy_uri(uri: &Uri) -> Uri {
    let text = uri.to_string();
    text.parse().expect("an address that was parsed before")
}
