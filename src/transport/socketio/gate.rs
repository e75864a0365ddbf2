//! The HTTP side of the Socket.IO door: who may begin a session, and how a WebSocket begins.
//!
//! The doorway decides, before anything is upgraded or kept. WebSockets are upgraded
//! here and handed to socketioxide as a [`Wire`], so that the server can end them; polling goes through as it is.

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header, request::Parts};
use http_body_util::BodyExt;
use socketioxide::socket::Sid;
use tower::{Service, ServiceExt};

use super::{
    BetweenNodes, Engine,
    intake::{self, Fault, Framing, IntakeConfig, Protocol},
    link::{Link, Links},
    probe::{self, Upgrade},
    query::{Query, Wrong},
};
use crate::{
    error::{Code, Error, Result},
    hub::memory_exhausted,
    limits::Account,
    repeat::log_rarely,
    transport::{
        Doorway, Transport,
        buffered_body::{BodyError, BufferedBody, UNCHARGED_BYTES},
        client_address,
        packet_rate::PacedReader,
        parts::{Bearer, HeldReader},
        upgrade::{
            AcceptedUpgrade, StreamReader, accept_upgrade, split_upgraded, switching_protocols,
        },
        wire::{self, Answer, Encoding, Wire, pass},
    },
};

/// Checks what comes in and hands it to socketioxide.
pub(super) struct Gate {
    pub(super) doorway: Arc<Doorway>,
    pub(super) engine: Engine,
    pub(super) links: Arc<Links>,
    /// What clients may use.
    pub(super) transports: Vec<Transport>,
    pub(super) path: String,
    pub(super) body_timeout: Duration,
    pub(super) connect_timeout: Duration,
    /// How long an upgrade may take.
    pub(super) upgrade_timeout: Duration,
    pub(super) max_payload: usize,
    /// The namespaces of the configuration.
    pub(super) served: Arc<HashSet<String>>,
    pub(super) others: BetweenNodes,
}

impl Gate {
    /// Answers one request under the Socket.IO path.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Body>) -> Response {
        let passed = self.clone().pass(request).await;
        let mut response = passed.unwrap_or_else(|error| self.doorway.refuse(&error));
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let no_store = HeaderValue::from_static("no-store");
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, no_store);
        }
        response
    }

    async fn pass(self: Arc<Self>, mut request: Request<Body>) -> Result<Response> {
        self.doorway
            .check_page(request.headers(), request.extensions())?;
        let query = match Query::read(request.method(), request.uri(), &self.transports) {
            Ok(query) => query,
            Err(wrong) => return Ok(wrong.into_response()),
        };
        *request.uri_mut() = query.normalized(request.uri());
        // Before anything is taken for it: what cannot become a session must not cost anybody a place.
        let accepted = match query
            .websocket
            .then(|| accept_upgrade(&request))
            .transpose()
        {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a WebSocket was refused");
                return Ok(Wrong::Request.into_response());
            }
        };
        match query.sid {
            None => self.begin(request, &query, accepted).await,
            Some(sid) => {
                let Some(link) = self.links.get(&sid).and_then(|link| link.upgrade()) else {
                    return Ok(self.unknown_session());
                };
                if !link.speaks(query.protocol) {
                    return Ok(Wrong::Request.into_response());
                }
                self.go_on(request, link, query.protocol, accepted).await
            }
        }
    }

    /// Begins a session.
    async fn begin(
        self: Arc<Self>,
        request: Request<Body>,
        query: &Query,
        accepted: Option<AcceptedUpgrade>,
    ) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let link = self.open(&parts, query.protocol).await?;
        // Where the main namespace is an application's, its client is connected to that, and nothing of it is seen here.
        let ours = query.protocol == 3 && self.served.contains("/");
        link.expect_connect(self.connect_timeout, ours);
        let mut request = Request::from_parts(parts, body);
        if let Some(accepted) = accepted {
            return Ok(self.begin_websocket(request, link, query.protocol, accepted));
        }
        request.extensions_mut().insert(link.clone());
        let encoding = Encoding::of(query.protocol, query.base64);
        self.open_polling(request, &link, encoding).await
    }

    /// Answers a request of a session that began with polling.
    async fn go_on(
        self: Arc<Self>,
        request: Request<Body>,
        link: Arc<Link>,
        protocol: u8,
        accepted: Option<AcceptedUpgrade>,
    ) -> Result<Response> {
        if let Some(accepted) = accepted {
            return Ok(self.probe(request, &link, accepted));
        }
        if link.upgrade().is_some_and(|upgrade| upgrade.is_done()) {
            return Ok(Wrong::Request.into_response()); // nobody polls any more
        }
        let mut response = if request.method() == Method::POST {
            let Some(_turn) = link.begin_post() else {
                return Err(reject(&link, Fault::OVERLAP).await);
            };
            self.hold_back(&link).await;
            self.post(request, &link, protocol).await
        } else {
            self.poll(&link).await
        }?;
        if response.status() == StatusCode::BAD_REQUEST
            && response.headers().get(header::CONTENT_TYPE).is_none()
        {
            return Ok(Wrong::Request.into_response()); // engineioxide does not say why
        }
        response.extensions_mut().insert(link.account().holder());
        Ok(response)
    }

    /// Admits a new session.
    async fn open(&self, request: &Parts, protocol: u8) -> Result<Arc<Link>> {
        let (admitted, principal) = self.doorway.admit_early(request).await?;
        let holder = self.doorway.holder(request, principal.as_ref());
        let metrics = self.doorway.hub().metrics().clone();
        let intake = IntakeConfig {
            protocol: match protocol {
                3 => Protocol::V3,
                _ => Protocol::V4,
            },
            served: self.served.clone(),
            most: self.max_payload,
            rate: self.doorway.packet_rate(),
            account: Account::new(self.doorway.hub().memory().clone(), holder),
        };
        Ok(Link::new(
            self.engine.clone(),
            principal,
            (admitted, client_address(&request.extensions).ip),
            self.doorway.way_out(),
            &intake,
            metrics,
        ))
    }

    /// Answers a poll: with what engineioxide has, or a NOOP where an upgrade needs one.
    async fn poll(&self, link: &Link) -> Result<Response> {
        let Some(encoding) = link.encoding() else {
            return Ok(Wrong::Request.into_response()); // it never polled
        };
        // engineioxide ends a session with two polls at once.
        let turn = link
            .upgrade()
            .and_then(|upgrade| Some((upgrade, upgrade.poll()?)));
        let (parts, body) = loop {
            let Some(request) = link.own_poll() else {
                return Ok(Wrong::Request.into_response());
            };
            let response = match &turn {
                None => self.forward(request).await,
                Some((upgrade, _)) => tokio::select! {
                    biased;
                    response = self.forward(request) => response,
                    // Dropped while it waits, engineioxide's answer has not taken any packet.
                    () = upgrade.noop() => return Ok(polled(wire::nothing(encoding))),
                },
            };
            let (parts, body) = response.into_parts();
            let body = read(body).await?;
            match link.without_first_ping(&body) {
                // There was nothing else, and the client's poll goes on.
                Some(rest) if rest.is_empty() => {}
                Some(rest) => break (parts, Bytes::from(rest)),
                None => break (parts, body),
            }
        };
        if let Some(error) = link.dismissed() {
            return Err(error.clone());
        }
        if !parts.status.is_success() {
            return Ok(Response::from_parts(parts, Body::from(body)));
        }
        let budget = self.max_payload.min(POLLED);
        Ok(match pass(&body, encoding, link.outbox(), budget) {
            Some(passed) => polled(passed),
            None => polled(Answer {
                bytes: body.into(),
                binary: false,
            }),
        })
    }

    /// Says that a session is not here, as Engine.IO does, and why that may be.
    fn unknown_session(&self) -> Response {
        self.note_stranger();
        Wrong::Session(STRANGER).into_response()
    }

    /// A client came with a session that this node does not know. One that has ended is nothing special; but if clients are
    /// sent now to this node and now to that, hardly any gets anywhere, and somebody had better know.
    fn note_stranger(&self) {
        if !self.others.are_possible() {
            return;
        }
        log_rarely!(warn, "a client was answered: {STRANGER}");
    }

    /// Opens a session by polling and notes its id, so that an upgrade finds it.
    async fn open_polling(
        &self,
        request: Request<Body>,
        link: &Arc<Link>,
        encoding: Encoding,
    ) -> Result<Response> {
        let (parts, body) = self.forward(request).await.into_parts();
        let body = read(body).await?;
        if parts.status.is_success()
            && let Some(sid) = session_id(&body)
        {
            link.polls(sid, &self.path, encoding, &self.links);
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    /// Leaves a client's packets unread while one of its inboxes is full. It sends no heartbeat meanwhile, and lives.
    async fn hold_back(&self, link: &Link) {
        while tokio::time::timeout(HEARTBEAT, link.outbox().eased())
            .await
            .is_err()
        {
            link.beat();
        }
    }

    /// Takes the packets that a client of a session by polling posts.
    async fn post(&self, request: Request<Body>, link: &Link, protocol: u8) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let charge = link.account().charge(UNCHARGED_BYTES);
        let body = tokio::select! {
            body = BufferedBody::read(body, self.max_payload, self.body_timeout, charge) => body,
            () = link.outbox().over() => return Ok(Wrong::Request.into_response()),
        };
        let body = match body {
            Ok(body) => body,
            Err(BodyError::TooLarge) => return Err(reject(link, Fault::TOO_LARGE).await),
            Err(BodyError::Exhausted(why)) => return Err(memory_exhausted(why)),
            Err(BodyError::Broken) => {
                return Err(Error::bad_request("the request's body ended early"));
            }
            Err(BodyError::TooSlow) => {
                let message = "the request's body took too long to arrive";
                return Err(Error::bad_request(message));
            }
        };
        let binary = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/octet-stream");
        let framing = match protocol {
            3 if binary => Framing::Binary,
            3 => Framing::Counted,
            _ => Framing::Separated,
        };
        match intake::post(link, framing, &body).await {
            Ok(response) => Ok(response),
            Err(fault) => Err(reject(link, fault).await),
        }
    }

    async fn forward(&self, request: Request<Body>) -> Response {
        match self.engine.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// Begins a session as a WebSocket.
    fn begin_websocket(
        self: Arc<Self>,
        mut request: Request<Body>,
        link: Arc<Link>,
        protocol: u8,
        accepted: AcceptedUpgrade,
    ) -> Response {
        let upgraded = hyper::upgrade::on(&mut request);
        let handshake = handshake_of(&request, &link);
        tokio::spawn(async move {
            let Ok(upgraded) = upgraded.await else {
                return; // the peer went away between its request and our answer
            };
            let (reader, writer) = split_upgraded(upgraded);
            let reader = self.reader_of(reader, &link);
            let outbox = link.outbox().clone();
            drop(link);
            let wire = Wire::beginning(reader, writer, outbox, protocol == 4);
            self.hand_over(wire, handshake).await;
        });
        switching_protocols(accepted)
    }

    /// Answers a WebSocket that a session by polling may upgrade to, and has it upgraded once its client has switched.
    fn probe(
        self: Arc<Self>,
        mut request: Request<Body>,
        link: &Arc<Link>,
        accepted: AcceptedUpgrade,
    ) -> Response {
        let probe = link.upgrade().and_then(Upgrade::begin);
        let upgraded = hyper::upgrade::on(&mut request);
        let mut handshake = Request::new(());
        *handshake.uri_mut() = copied(request.uri());
        let (outbox, link) = (link.outbox().clone(), Arc::downgrade(link));
        tokio::spawn(async move {
            let Ok(upgraded) = upgraded.await else {
                return; // the peer went away between its request and our answer
            };
            let (reader, writer) = split_upgraded(upgraded);
            let Some(probe) = probe else {
                return probe::close(reader, writer).await; // one is enough
            };
            let switched = probe.run(reader, writer, &outbox, self.upgrade_timeout);
            let Some((reader, writer)) = switched.await else {
                return;
            };
            if let Some(link) = link.upgrade() {
                let first = self.left_from_polling(&link).await;
                let reader = probe::preceded(self.reader_of(reader, &link));
                let wire = Wire::upgrading(reader, writer, link, outbox, first);
                self.hand_over(wire, handshake).await;
            }
        });
        switching_protocols(accepted)
    }

    /// What engineioxide would put into the next polls' answers, as frames: it forgets what did not fit into the last one.
    async fn left_from_polling(&self, link: &Link) -> Vec<u8> {
        let mut frames = Vec::new();
        let Some(encoding) = link.encoding() else {
            return frames;
        };
        if let Some(upgrade) = link.upgrade() {
            upgrade.polled().await;
        }
        while let Some(response) = self.poll_at_once(link) {
            match read(response.into_body()).await {
                Ok(body) if !body.is_empty() => {
                    let body = link.without_first_ping(&body).map_or(body, Bytes::from);
                    frames.extend(wire::frames(&body, encoding));
                }
                _ => break, // the session has ended
            }
        }
        frames
    }

    /// The answer to a poll that need not wait.
    fn poll_at_once(&self, link: &Link) -> Option<Response> {
        let response = self.forward(link.own_poll()?).now_or_never()?;
        response.status().is_success().then_some(response)
    }

    /// What socketioxide reads of a client's WebSocket.
    fn reader_of(&self, reader: StreamReader, link: &Link) -> StreamReader {
        let intake = link.intake();
        let paced = PacedReader::new(reader, intake.rate().clone());
        let bearer = Bearer {
            account: link.account().clone(),
            outbox: link.outbox().clone(),
            metrics: self.doorway.hub().metrics().clone(),
            stall: self.doorway.hub().limits().stall,
        };
        let held = HeldReader::new(paced, bearer);
        Box::new(intake::Reader::new(Box::new(held), intake.clone()))
    }

    async fn hand_over(&self, wire: Wire<StreamReader>, handshake: Request<()>) {
        if let Err(error) = self.engine.clone().call((wire, handshake)).await {
            tracing::debug!(%error, "a WebSocket was refused after its upgrade");
        }
    }
}

/// Ends a session by polling whose client cannot be understood, and says why.
async fn reject(link: &Link, fault: Fault) -> Error {
    link.reject(fault).await;
    match fault {
        Fault::TOO_LARGE => Error::new(Code::TooLarge, fault.why),
        fault => Error::bad_request(fault.why),
    }
}

/// The answer to a poll.
fn polled(answer: Answer) -> Response {
    let kind = match answer.binary {
        true => "application/octet-stream",
        false => "text/plain; charset=UTF-8",
    };
    ([(header::CONTENT_TYPE, kind)], answer.bytes).into_response()
}

/// What a client is told whose session this node does not know.
const STRANGER: &str = "Session ID unknown: it has ended, or belongs to another node; with several nodes route each client to one node (sticky sessions), or have clients use only the websocket transport";

/// How often a session by polling whose packets are left unread is told to be alive.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Bytes of one poll's answer: a slow client that takes one within the stall is not closed.
const POLLED: usize = 128 << 10;

/// An answer of socketioxide's as a whole; it has it in memory.
async fn read(body: Body) -> Result<Bytes> {
    let body = body.collect().await.map_err(|error| {
        Error::new(Code::Internal, "the answer could not be read").caused_by(error)
    })?;
    Ok(body.to_bytes())
}

/// The handshake as socketioxide keeps it for the session's life. Headers and address are copied: as they came they
/// are slices of the HTTP connection's read buffer and would keep all of it.
fn handshake_of(request: &Request<Body>, link: &Arc<Link>) -> Request<()> {
    let mut handshake = Request::new(());
    *handshake.uri_mut() = copied(request.uri());
    for (name, value) in request.headers() {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            handshake.headers_mut().append(name.clone(), value);
        }
    }
    handshake.extensions_mut().insert(link.clone());
    handshake
}

fn copied(uri: &Uri) -> Uri {
    let text = uri.to_string();
    text.parse().expect("an address that was parsed before")
}

/// The id in the open packet that answers a handshake by polling: `0{"sid":"…",…}`, with a length before it in
/// Engine.IO 3.
fn session_id(body: &[u8]) -> Option<Sid> {
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
