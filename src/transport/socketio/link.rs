//! An Engine.IO session as this server sees it: what it was admitted as, and how it is closed from here.
//!
//! A link travels in the extensions of the request that opened the session, and engineioxide keeps those for as long
//! as the session lives. So a link is dropped when its session ends, whatever the transport and however it ended, and
//! what it holds (a place among the connections) is given back then.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use dashmap::DashMap;
use http::{Method, Request, StatusCode, header};
use socketioxide::{SendError, SocketError, socket::Sid};
use tower::ServiceExt;

use super::{
    Engine, Socket,
    intake::{Fault, Framing, Intake, IntakeConfig},
    outlet::Spread,
    probe::Upgrade,
};
use crate::{
    auth::Principal,
    error::Error,
    hub::{CloseReason, ConnectionRates},
    limits::{Account, Admitted},
    model::Namespace,
    repeat::log_in_bursts,
    telemetry::Metrics,
    transport::{
        close_codes, lock,
        wire::{Bounds, ConnectReply, Encoding, Full, MARK, Outbox, Session, Shard, without_ping},
    },
};

/// The sessions that began with polling, by Engine.IO id: an upgrade names its session so.
pub(super) type Links = DashMap<Sid, Weak<Link>>;

/// Engine.IO's packet that closes a session.
const CLOSE: &str = "1";

/// Engine.IO's packet by which a client is known alive.
const HEARTBEAT: &str = "3";

/// A session.
pub(in crate::transport) struct Link {
    principal: Option<Principal>,
    engine: Engine,
    outbox: Arc<Outbox>,
    intake: Arc<Intake>,
    polling: OnceLock<Polling>,
    /// Whom what it holds is charged to.
    account: Arc<Account>,
    connected: AtomicBool,
    closed: AtomicBool,
    /// Why it was ended before its client was connected.
    dismissed: OnceLock<Error>,
    /// Its connections to namespaces.
    sockets: Mutex<Vec<Weak<Socket>>>,
    /// What goes into the answers to CONNECT.
    replies: Mutex<HashMap<Namespace, ConnectReply>>,
    /// What its connections to each namespace have left of their rates.
    rates: Mutex<HashMap<Namespace, ConnectionRates>>,
    metrics: Arc<Metrics>,
    admitted: Admitted,
    /// Where its client is.
    address: IpAddr,
}

/// What a session that began with polling has besides.
struct Polling {
    /// socketioxide's first ping has been taken out of a poll's answer.
    pinged: AtomicBool,
    /// A POST is under way.
    posting: AtomicBool,
    sid: Sid,
    /// Where its requests go.
    path: String,
    /// How its client takes the answers to them.
    encoding: Encoding,
    upgrade: Arc<Upgrade>,
    links: Weak<Links>,
}

impl Polling {
    /// Path and query of a request as engineioxide is to understand it: in Engine.IO 4 for all, but for binary bodies.
    fn uri(&self, protocol: u8) -> String {
        let Self { sid, path, .. } = self;
        format!("{path}/?EIO={protocol}&transport=polling&sid={sid}")
    }
}

impl Link {
    /// A session that was admitted; `principal` is who the handshake's own token speaks for.
    pub(super) fn new(
        engine: Engine,
        principal: Option<Principal>,
        (admitted, address): (Admitted, IpAddr),
        (bounds, shard): (Bounds, Arc<Shard>),
        intake: &IntakeConfig,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        metrics.sessions.inc();
        Arc::new_cyclic(|link: &Weak<Self>| {
            let outbox = Outbox::new(bounds, shard, link.clone(), metrics.clone());
            Self {
                principal,
                engine,
                intake: Intake::new(intake, outbox.clone(), metrics.clone()),
                outbox,
                polling: OnceLock::new(),
                account: intake.account.clone(),
                connected: AtomicBool::new(false),
                closed: AtomicBool::new(false),
                dismissed: OnceLock::new(),
                sockets: Mutex::default(),
                replies: Mutex::default(),
                rates: Mutex::default(),
                metrics,
                admitted,
                address,
            }
        })
    }

    /// Its way in.
    pub(super) fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    /// Gives engineioxide packets of a session by polling. The answer is engineioxide's.
    pub(super) async fn post(&self, body: Body, framing: Framing) -> Response {
        let Some(request) = self.posting(body, framing) else {
            return StatusCode::BAD_REQUEST.into_response(); // it does not poll
        };
        match self.engine.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// engineioxide reads a body by the protocol that the address names.
    fn posting(&self, body: Body, framing: Framing) -> Option<Request<Body>> {
        let polling = self.polling.get()?;
        let (protocol, kind) = match framing {
            Framing::Separated => (4, "text/plain; charset=UTF-8"),
            Framing::Counted => (3, "text/plain; charset=UTF-8"),
            Framing::Binary => (3, "application/octet-stream"),
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(polling.uri(protocol))
            .header(header::CONTENT_TYPE, kind);
        request.body(body).ok()
    }

    /// Ends a session by polling whose client cannot be understood; it has ended when this returns.
    pub(super) async fn reject(&self, fault: Fault) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            self.intake.note(fault);
            self.outbox.end();
            self.post(Body::from(CLOSE), Framing::Separated).await;
        }
    }

    /// Who the handshake's own token speaks for, if it had one.
    pub(super) fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// Whom what it holds is charged to.
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Counts an error that its client is told.
    pub(super) fn count_error(&self, error: &Error) {
        self.metrics.error(error);
    }

    /// Begins a POST of a session by polling; `None` while another one is under way.
    pub(super) fn begin_post(self: &Arc<Self>) -> Option<Posting> {
        let polling = self.polling.get()?;
        let begun = !polling.posting.swap(true, Ordering::Relaxed);
        begun.then(|| Posting(self.clone()))
    }

    /// Its way out.
    pub(in crate::transport) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// What its connections to a namespace have left of their rates.
    pub(super) fn rates(&self, namespace: &Namespace) -> ConnectionRates {
        lock(&self.rates)
            .entry(namespace.clone())
            .or_default()
            .clone()
    }

    /// The same, if it has had connections to it before.
    pub(super) fn rates_before(&self, namespace: &Namespace) -> Option<ConnectionRates> {
        lock(&self.rates).get(namespace).cloned()
    }

    /// A namespace's answer to CONNECT is to tell this.
    pub(super) fn promise(&self, namespace: &Namespace, reply: ConnectReply) {
        lock(&self.replies).insert(namespace.clone(), reply);
    }

    /// Notes one more connection to a namespace.
    pub(in crate::transport) fn carries(&self, socket: Weak<Socket>) {
        let mut sockets = lock(&self.sockets);
        sockets.retain(|socket| socket.strong_count() > 0);
        sockets.push(socket);
    }

    /// Notes that the session is one by polling, reached at `path`.
    pub(super) fn polls(
        self: &Arc<Self>,
        sid: Sid,
        path: &str,
        encoding: Encoding,
        links: &Arc<Links>,
    ) {
        links.insert(sid, Arc::downgrade(self));
        let polling = Polling {
            // In Engine.IO 3 clients ping.
            pinged: AtomicBool::new(encoding != Encoding::Separated),
            posting: AtomicBool::new(false),
            sid,
            path: path.to_owned(),
            encoding,
            upgrade: Arc::default(),
            links: Arc::downgrade(links),
        };
        // A session is opened once; were it noted twice, the first note would hold.
        let _ = self.polling.set(polling);
    }

    /// Its upgrade, if it began with polling.
    pub(super) fn upgrade(&self) -> Option<&Arc<Upgrade>> {
        Some(&self.polling.get()?.upgrade)
    }

    /// Whether it polls in this protocol.
    pub(super) fn speaks(&self, protocol: u8) -> bool {
        let separated = self.encoding() == Some(Encoding::Separated);
        separated == (protocol == 4)
    }

    /// How its client takes the answers to its polls, if it began with polling.
    pub(super) fn encoding(&self) -> Option<Encoding> {
        Some(self.polling.get()?.encoding)
    }

    /// A poll of the session, answered in Engine.IO 4.
    pub(super) fn own_poll(&self) -> Option<Request<Body>> {
        let poll = Request::builder().uri(self.polling.get()?.uri(4));
        poll.body(Body::empty()).ok()
    }

    /// Takes socketioxide's first ping out of a poll's answer and answers it: it is sent before CONNECT is answered, where
    /// clients do not expect it. `None` if it is not in there.
    pub(super) fn without_first_ping(&self, body: &[u8]) -> Option<Vec<u8>> {
        let polling = self.polling.get()?;
        if polling.pinged.load(Ordering::Relaxed) {
            return None;
        }
        let rest = without_ping(body)?;
        polling.pinged.store(true, Ordering::Relaxed);
        self.beat();
        Some(rest)
    }

    /// Where its client is.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Notes that the session has connected to a namespace.
    pub(super) fn connected(&self) {
        self.admitted.established();
        self.connected.store(true, Ordering::Relaxed);
    }

    /// After this time the session's handshake is over: socketioxide has ended it unless it has connected to a namespace, be it an
    /// application's own. With `ends` it is ended here: in Engine.IO 3 socketioxide itself lets a session that was refused stay
    /// for as long as it pings.
    pub(super) fn expect_connect(self: &Arc<Self>, within: Duration, ends: bool) {
        let link = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(within).await;
            let Some(link) = link.upgrade() else {
                return;
            };
            link.admitted.established();
            if ends && !link.connected.load(Ordering::Relaxed) {
                link.shut();
            }
        });
    }

    /// Counts and logs why something of the session is closed.
    pub(super) fn note(&self, why: CloseReason) {
        self.metrics.closed(why.as_str());
        let reason = why.as_str();
        match why {
            CloseReason::Draining | CloseReason::Replaced => {
                tracing::debug!(reason, "a connection is closed")
            }
            _ => log_in_bursts!(info, reason, "a connection is closed by the server"),
        }
    }

    /// Counts that socketioxide ends the session, once for all its namespaces.
    pub(super) fn count_end(&self, reason: &'static str) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            self.metrics.closed(reason);
        }
    }

    /// Ends the session of a client that cannot be let in now. What socketioxide still says to it is kept from it: a stock
    /// client takes a refusal for final, and comes back when its transport is closed.
    pub(super) fn dismiss(&self, error: &Error) {
        let _ = self.dismissed.set(error.clone());
        self.close(CloseReason::Refused(error.code()));
    }

    /// Why it was ended before its client was connected, if it was.
    pub(super) fn dismissed(&self) -> Option<&Error> {
        self.dismissed.get()
    }

    /// Whether it is connected to any namespace now.
    pub(super) fn is_connected(&self) -> bool {
        let sockets = lock(&self.sockets).clone();
        let mut sockets = sockets.iter().filter_map(Weak::upgrade);
        sockets.any(|socket| socket.connected())
    }

    /// Tells socketioxide in the name of a client that polls that it is alive.
    pub(super) fn beat(&self) {
        self.say(HEARTBEAT);
    }

    /// Says a packet of Engine.IO in the name of a client that polls.
    fn say(&self, packet: &'static str) {
        let Some(request) = self.posting(Body::from(packet), Framing::Separated) else {
            return;
        };
        let engine = self.engine.clone();
        // A session that has upgraded refuses this.
        tokio::spawn(async move { drop(engine.oneshot(request).await) });
    }

    /// Ends the session.
    pub(super) fn shut(&self) {
        self.outbox.end();
        self.leave();
    }
}

/// The one POST of a session that is under way.
pub(super) struct Posting(Arc<Link>);

impl Drop for Posting {
    fn drop(&mut self) {
        if let Some(polling) = self.0.polling.get() {
            polling.posting.store(false, Ordering::Relaxed);
        }
    }
}

impl Session for Link {
    /// Ends the session for a reason that is counted, so that a stock client sees a transport close and comes back.
    fn close(&self, why: CloseReason) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            self.note(why);
            // What the client is about to be given it still gets, as far as it takes it.
            self.outbox.end_behind(close_codes::frame(why));
            self.leave();
        }
    }

    fn connect_reply(&self, namespace: &str) -> Option<ConnectReply> {
        lock(&self.replies).get(namespace).copied()
    }

    fn mark(&self) -> Result<bool, Full> {
        let sockets = lock(&self.sockets).clone();
        for socket in sockets.iter().filter_map(Weak::upgrade) {
            match socket.emit(MARK, &Spread(&[])) {
                Ok(()) => return Ok(true),
                Err(SendError::Socket(SocketError::InternalChannelFull)) => return Err(Full),
                Err(_) => {}
            }
        }
        Ok(false)
    }

    /// Has socketioxide end the session if it is one by polling; what its outbox still has is left alone.
    fn leave(&self) {
        // If it has upgraded, the cut has ended it.
        self.say(CLOSE);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.metrics.sessions.dec();
        self.outbox.abandon();
        if let Some(polling) = self.polling.get()
            && let Some(links) = polling.links.upgrade()
        {
            links.remove(&polling.sid);
        }
    }
}
