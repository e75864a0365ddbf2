//! The HTTP side of the Socket.IO door: who may begin a session, and how a WebSocket begins.
//!
//! Identity, origin, limits and draining are checked here, before anything is upgraded or kept. WebSockets are upgraded
//! here and handed to socketioxide as a [`Wire`], so that the server can end them; polling goes through as it is.

use std::{
    io::Cursor,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rand::Rng;
use socketioxide::socket::Sid;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
};
use tower::{Service, ServiceExt};
use tungstenite::handshake::derive_accept_key;

use super::{
    Engine,
    legacy::{Legacy, separate_in_payload},
    link::{Link, Links},
};
use crate::{
    auth::{Principal, find_token},
    error::{Code, Error, Limit, Result},
    hub::Hub,
    limits::{Admission, Bucket, Rate},
    model::Timestamp,
    transport::{
        http::{ClientAddress, refusal},
        lock,
        origins::Origins,
        wire::{Bounds, Encoding, Flushers, Session, Wire, Writer, pass},
    },
};

/// Checks what comes in and hands it to socketioxide.
pub(super) struct Gate {
    pub(super) hub: Hub,
    pub(super) engine: Engine,
    pub(super) origins: Origins,
    pub(super) admission: Admission,
    /// How fast new sessions may come.
    pub(super) pace: (Rate, Mutex<Bucket>),
    pub(super) links: Arc<Links>,
    /// Whether clients may use WebSockets.
    pub(super) websocket: bool,
    pub(super) path: String,
    pub(super) cookie: Option<String>,
    pub(super) body_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) max_payload: usize,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) outboxes: Bounds,
    pub(super) flushers: Arc<Flushers>,
}

/// What the query of an Engine.IO request says.
struct Query {
    protocol: u8,
    sid: Option<Sid>,
    websocket: bool,
}

impl Query {
    /// Reads the query as engineioxide does (the first of each name counts, and only up to a second `=`); `None` if it
    /// will refuse the request. What is refused here and not there would get past every check.
    fn read(request: &Request<Body>) -> Option<Self> {
        let query = request.uri().query()?;
        let first = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let word = |name| first(name)?.split('=').next();
        let protocol = match word("EIO")? {
            "3" => 3,
            "4" => 4,
            _ => return None,
        };
        let sid = match first("sid") {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        let websocket = match word("transport")? {
            "websocket" => true,
            "polling" => false,
            _ => return None,
        };
        Some(Self {
            protocol,
            sid,
            websocket,
        })
    }
}

impl Gate {
    /// Answers one request under the Socket.IO path.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Body>) -> Response {
        match self.clone().pass(request).await {
            Ok(response) => response,
            Err(error) => {
                self.hub.metrics().error(&error);
                refusal(&error)
            }
        }
    }

    async fn pass(self: Arc<Self>, request: Request<Body>) -> Result<Response> {
        if !self.origins.allow(request.headers()) {
            return Err(Error::forbidden(
                "pages of this origin may not connect; http.origins lists those that may, and a server without keys \
                 answers only to names of its own machine",
            ));
        }
        let query = Query::read(&request).filter(|query| self.websocket || !query.websocket);
        let Some(query) = query else {
            // Whatever is wrong with it, engineioxide says so in the words its clients know.
            return Ok(self.forward(request).await);
        };
        match query.sid {
            None => {
                // Before anything is taken for it: what cannot become a session must not cost anybody a place.
                if query.websocket {
                    accept_key(&request)?;
                }
                let (parts, body) = request.into_parts();
                let link = self.open(&parts).await?;
                if query.protocol == 3 {
                    link.expect_connect(self.connect_timeout);
                }
                let mut request = Request::from_parts(parts, body);
                if query.websocket {
                    self.upgrade(request, link, query.protocol, false)
                } else {
                    request.extensions_mut().insert(link.clone());
                    self.open_polling(request, &link, query.protocol).await
                }
            }
            Some(sid) if query.websocket => {
                let link = self.links.get(&sid).and_then(|link| link.upgrade());
                let link = link.ok_or_else(|| Error::bad_request("Session ID unknown"))?;
                self.upgrade(request, link, query.protocol, true)
            }
            Some(_) if request.method() == Method::POST => {
                tokio::time::timeout(self.body_timeout, self.post(request, query.protocol))
                    .await
                    .map_err(|_| Error::bad_request("the request's body took too long to arrive"))?
            }
            Some(sid) => {
                let link = self.links.get(&sid).and_then(|link| link.upgrade());
                let response = self.forward(request).await;
                match link {
                    Some(link) => self.poll(response, &link, query.protocol).await,
                    None => Ok(response),
                }
            }
        }
    }

    /// Admits a new session.
    async fn open(&self, request: &Parts) -> Result<Arc<Link>> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(
                Error::new(Code::Draining, "this node is going down; connect again")
                    .retry_after(Duration::from_secs(1)),
            );
        }
        let address = request
            .extensions
            .get::<ClientAddress>()
            .map_or(IpAddr::from([0, 0, 0, 0]), |address| address.0);
        let admitted = self.admission.admit(address).map_err(|limit| {
            Error::new(
                Code::LimitReached,
                format!("too many connections: limits.{} is reached", limit.name()),
            )
            .for_limit(limit)
            .retry_after(Duration::from_secs(5))
        })?;
        self.pace()?;
        let principal = self.identify(request).await?;
        let metrics = self.hub.metrics().clone();
        let outbox = (self.outboxes, self.flushers.shard());
        Ok(Link::new(
            self.engine.clone(),
            principal,
            admitted,
            outbox,
            metrics,
        ))
    }

    /// Lets new sessions in at a pace: when a node or a network comes back, everybody does, and what is refused early and
    /// cheaply leaves time for those who are in.
    fn pace(&self) -> Result<()> {
        let (rate, bucket) = &self.pace;
        lock(bucket).take(*rate, Instant::now()).map_err(|wait| {
            let scattered = Duration::from_secs(4).mul_f64(rand::rng().random());
            Error::unavailable("too many connect at this moment; come back a little later")
                .for_limit(Limit::ConnectsPerSecond)
                .retry_after(wait + scattered)
        })
    }

    /// Who the request's own token speaks for, if it has one.
    async fn identify(&self, request: &Parts) -> Result<Option<Principal>> {
        if self.hub.authority().is_open() {
            return Ok(None);
        }
        let query = request.uri.query();
        match find_token(&request.headers, query, self.cookie.as_deref()) {
            Some(token) => {
                let principal = self
                    .hub
                    .authority()
                    .verify(&token.text, Timestamp::now())
                    .await?;
                Ok(Some(principal))
            }
            None => Ok(None),
        }
    }

    /// Puts what waits for the session into the answer to its poll.
    async fn poll(&self, response: Response, link: &Link, protocol: u8) -> Result<Response> {
        let (mut parts, body) = response.into_parts();
        let body = read(body).await?;
        if !parts.status.is_success() {
            return Ok(Response::from_parts(parts, Body::from(body)));
        }
        let binary = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/octet-stream");
        let encoding = match (protocol, binary) {
            (3, true) => Encoding::Binary,
            (3, false) => Encoding::Counted,
            _ => Encoding::Separated,
        };
        let pid = |namespace: &str| link.pid(namespace);
        let budget = self.max_payload.min(POLLED);
        let body = match pass(&body, encoding, link.outbox(), pid, budget) {
            Some(passed) => {
                parts
                    .headers
                    .insert(header::CONTENT_LENGTH, passed.len().into());
                Body::from(passed)
            }
            None => Body::from(body),
        };
        Ok(Response::from_parts(parts, body))
    }

    /// Opens a session by polling and notes its id, so that an upgrade finds it.
    async fn open_polling(
        &self,
        request: Request<Body>,
        link: &Arc<Link>,
        protocol: u8,
    ) -> Result<Response> {
        let (parts, body) = self.forward(request).await.into_parts();
        let body = read(body).await?;
        if parts.status.is_success()
            && let Some(sid) = session_id(&body)
        {
            link.polls(sid, &self.path, protocol, &self.links);
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    /// Passes packets on; those of Engine.IO 3 as [`legacy`](super::legacy) says.
    async fn post(&self, request: Request<Body>, protocol: u8) -> Result<Response> {
        if protocol != 3 {
            return Ok(self.forward(request).await);
        }
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, self.max_payload)
            .collect()
            .await
            .map_err(|_| {
                Error::new(
                    Code::TooLarge,
                    "the payload is larger than socketio.max_payload",
                )
            })?
            .to_bytes();
        let separated = std::str::from_utf8(&body)
            .ok()
            .and_then(separate_in_payload);
        let body = separated.map_or(Body::from(body), Body::from);
        Ok(self.forward(Request::from_parts(parts, body)).await)
    }

    async fn forward(&self, request: Request<Body>) -> Response {
        match self.engine.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// Answers a WebSocket upgrade and hands the stream on.
    fn upgrade(
        self: Arc<Self>,
        mut request: Request<Body>,
        link: Arc<Link>,
        protocol: u8,
        upgrading: bool,
    ) -> Result<Response> {
        let accept = accept_key(&request)?;
        if upgrading && !link.may_upgrade() {
            return Err(Error::bad_request("the session is upgraded already"));
        }
        let upgraded = hyper::upgrade::on(&mut request);
        let handshake = handshake_of(&request, &link);
        let mut engine = self.engine.clone();
        tokio::spawn(async move {
            let Ok(upgraded) = upgraded.await else {
                return; // the peer went away between its request and our answer
            };
            let (reader, writer) = halves(upgraded);
            let reader: Reader = match protocol {
                3 => Box::new(Legacy::new(reader)),
                _ => reader,
            };
            let wire = if upgrading {
                Wire::upgrading(reader, writer, link.clone(), link.outbox().clone())
            } else {
                let outbox = link.outbox().clone();
                drop(link);
                Wire::beginning(reader, writer, outbox)
            };
            let begun = engine.call((wire, handshake)).await;
            if let Err(error) = begun {
                tracing::debug!(%error, "a WebSocket was refused after its upgrade");
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        Ok(response)
    }
}

/// Bytes of one poll's answer: a slow client that takes one within the stall is not closed.
const POLLED: usize = 128 << 10;

type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// What an upgraded connection is read from and written to. What HTTP needed of it, a buffer above all, is let go of.
fn halves(upgraded: Upgraded) -> (Reader, Writer) {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let (reader, writer) = parts.io.into_inner().into_split();
            // A client may have sent its first frames without waiting for the answer.
            let reader: Reader = match parts.read_buf.is_empty() {
                true => Box::new(reader),
                false => Box::new(Cursor::new(parts.read_buf).chain(reader)),
            };
            (reader, Box::new(writer))
        }
        Err(upgraded) => {
            let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
            (Box::new(reader), Box::new(writer))
        }
    }
}

/// An answer of socketioxide's as a whole; it has it in memory.
async fn read(body: Body) -> Result<Bytes> {
    let body = body.collect().await.map_err(|error| {
        Error::new(Code::Internal, "the answer could not be read").caused_by(error)
    })?;
    Ok(body.to_bytes())
}

/// The answer to a WebSocket key, if the request is a proper upgrade.
fn accept_key(request: &Request<Body>) -> Result<HeaderValue> {
    let headers = request.headers();
    let says = |name, word: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                value
                    .split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(word))
            })
    };
    let proper = request.method() == Method::GET
        && says(header::UPGRADE, "websocket")
        && says(header::CONNECTION, "upgrade")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|_| proper)
        .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok())
        .ok_or_else(|| Error::bad_request("a WebSocket upgrade (version 13) is expected here"))
}

/// The handshake as socketioxide keeps it for the session's life. Headers and address are copied: as they came they
/// are slices of the HTTP connection's read buffer and would keep all of it.
fn handshake_of(request: &Request<Body>, link: &Arc<Link>) -> Request<()> {
    let mut handshake = Request::new(());
    *handshake.uri_mut() = request
        .uri()
        .to_string()
        .parse()
        .expect("an address that was parsed before");
    for (name, value) in request.headers() {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            handshake.headers_mut().append(name.clone(), value);
        }
    }
    handshake.extensions_mut().insert(link.clone());
    handshake
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
mod tests {
    use super::*;

    #[test]
    fn the_session_id_is_found_in_the_open_packet_of_both_protocols() {
        let json = r#"{"sid":"AAAAAAAAAAAAAAAA","upgrades":["websocket"],"pingInterval":25000}"#;
        for body in [format!("0{json}"), format!("97:0{json}")] {
            assert_eq!(
                session_id(body.as_bytes()).unwrap().as_str(),
                "AAAAAAAAAAAAAAAA"
            );
        }
        assert!(session_id(b"0").is_none());
    }

    #[test]
    fn a_query_is_read_as_engineioxide_reads_it() {
        let read = |query: &str| {
            let request = Request::builder()
                .uri(format!("/socket.io/?{query}"))
                .body(Body::empty())
                .unwrap();
            Query::read(&request)
                .map(|query| (query.protocol, query.sid.is_some(), query.websocket))
        };
        assert_eq!(read("EIO=4&transport=polling&t=x"), Some((4, false, false)));
        assert_eq!(
            read("EIO=3&transport=websocket&sid=AAAAAAAAAAAAAAAA"),
            Some((3, true, true))
        );
        assert_eq!(read("EIO=4=5&transport=polling=x"), Some((4, false, false)));
        for bad in [
            "",
            "EIO=5&transport=polling",
            "EIO=4",
            "EIO=4&transport=polling&sid=short",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
