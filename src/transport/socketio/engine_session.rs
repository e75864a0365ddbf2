//! An Engine.IO session as this server sees it: what it was admitted with, its inbound filter and outbox, and how the server
//! closes it.
//!
//! The session is stored in the extensions of the request that opened it, which engineioxide keeps as long as its own session
//! lives. So it is dropped when that ends, whatever the transport and however it ended, and its connection place is given
//! back then.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use socketioxide::{SendError, SocketError};

use super::{
    Engine, Socket,
    inbound::{InboundConfig, InboundFilter},
    raw_arguments::RawArguments,
};
use crate::{
    auth::Principal,
    error::Error,
    http::origins::Trust,
    hub::{CloseReason, ConnectionRates},
    limits::{Account, ConnectionPermit},
    model::Namespace,
    retry::log_in_bursts,
    sync::lock,
    telemetry::Metrics,
    transport::{
        close_codes,
        wire::{
            BARRIER_EVENT, ChannelFull, ConnectReply, Outbox, OutboxLimits, OutboxOwner, WriteQueue,
        },
    },
};
use polling::PollingSession;

mod polling;

pub(super) use polling::EngineSessions;

/// One Engine.IO session.
pub(in crate::transport) struct EngineSession {
    /// The identity of the handshake's own token.
    principal: Option<Box<Principal>>,
    engine: Engine,
    outbox: Arc<Outbox>,
    inbound: Arc<InboundFilter>,
    /// Set if the session started with polling.
    polling: OnceLock<Box<PollingSession>>,
    /// What the session holds in memory is charged to this account.
    account: Arc<Account>,
    /// Has connected to a namespace.
    connected: AtomicBool,
    closed: AtomicBool,
    close_reason: OnceLock<CloseReason>,
    /// Why it was closed before it connected.
    rejection: OnceLock<Box<Error>>,
    /// Its connections to namespaces.
    sockets: Mutex<Vec<Weak<Socket>>>,
    /// What to write into the replies to CONNECT that have not passed yet.
    connect_replies: Mutex<Vec<(Box<str>, ConnectReply)>>,
    /// Rate limiters of its connections, by namespace.
    rates: Mutex<Vec<(Namespace, ConnectionRates)>>,
    metrics: Arc<Metrics>,
    admitted: ConnectionPermit,
    /// The client's address.
    address: IpAddr,
    /// How far the page is trusted that opened it.
    trust: Option<Trust>,
}

impl EngineSession {
    /// A session that was admitted; `principal` is the identity of the handshake's own token.
    pub(super) fn new(
        engine: Engine,
        principal: Option<Principal>,
        (admitted, address, trust): (ConnectionPermit, IpAddr, Option<Trust>),
        (limits, queue): (OutboxLimits, Arc<WriteQueue>),
        inbound: &InboundConfig,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        metrics.sessions.inc();
        Arc::new_cyclic(|session: &Weak<Self>| {
            let outbox = Outbox::new(limits, queue, session.clone(), metrics.clone());
            Self {
                principal: principal.map(Box::new),
                engine,
                inbound: InboundFilter::new(inbound, outbox.clone(), metrics.clone()),
                outbox,
                polling: OnceLock::new(),
                account: inbound.account.clone(),
                connected: AtomicBool::new(false),
                closed: AtomicBool::new(false),
                close_reason: OnceLock::new(),
                rejection: OnceLock::new(),
                sockets: Mutex::default(),
                connect_replies: Mutex::default(),
                rates: Mutex::default(),
                metrics,
                admitted,
                address,
                trust,
            }
        })
    }

    pub(super) fn inbound(&self) -> &Arc<InboundFilter> {
        &self.inbound
    }

    pub(in crate::transport) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// The identity of the handshake's own token, if it had one.
    pub(super) fn principal(&self) -> Option<&Principal> {
        self.principal.as_deref()
    }

    /// The account that the session's memory is charged to.
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The client's address.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// How far the page is trusted that opened it.
    pub(super) fn trust(&self) -> Option<Trust> {
        self.trust
    }

    /// Counts an error that is sent to the client.
    pub(super) fn count_error(&self, error: &Error) {
        self.metrics.error(error);
    }

    /// The rate limiters of its connections to a namespace.
    pub(super) fn rates(&self, namespace: &Namespace) -> ConnectionRates {
        let mut all = lock(&self.rates);
        if let Some(rates) = find(&all, namespace) {
            return rates;
        }
        let rates = ConnectionRates::default();
        // Mostly the only ones.
        all.reserve_exact(1);
        all.push((namespace.clone(), rates.clone()));
        rates
    }

    /// The same, if it has had connections to the namespace before.
    pub(super) fn previous_rates(&self, namespace: &Namespace) -> Option<ConnectionRates> {
        find(&lock(&self.rates), namespace)
    }

    /// Sets what to write into the reply to a namespace's CONNECT.
    pub(super) fn set_connect_reply(&self, namespace: &str, reply: ConnectReply) {
        let mut replies = lock(&self.connect_replies);
        replies.retain(|(of, _)| **of != *namespace);
        replies.push((namespace.into(), reply));
    }

    /// Adds a connection to a namespace.
    pub(in crate::transport) fn add_socket(&self, socket: Weak<Socket>) {
        let mut sockets = lock(&self.sockets);
        sockets.retain(|socket| socket.strong_count() > 0);
        sockets.reserve_exact(1);
        sockets.push(socket);
    }

    /// Notes that the session has connected to a namespace.
    pub(super) fn mark_connected(&self) {
        self.admitted.complete_handshake();
        self.connected.store(true, Ordering::Relaxed);
    }

    /// Whether it is connected to any namespace now.
    pub(super) fn is_connected(&self) -> bool {
        let sockets = lock(&self.sockets).clone();
        let mut sockets = sockets.iter().filter_map(Weak::upgrade);
        sockets.any(|socket| socket.connected())
    }

    /// Ends the session's handshake after `timeout`. By then socketioxide has closed it unless it has connected to a
    /// namespace, be it an application's own. With `close` it is closed here: in Engine.IO 3 socketioxide keeps a session
    /// that was refused as long as it pings.
    pub(super) fn start_connect_timeout(self: &Arc<Self>, timeout: Duration, close: bool) {
        let session = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            let Some(session) = session.upgrade() else {
                return;
            };
            session.admitted.complete_handshake();
            let namespaces = session.inbound.namespaces();
            let connected = session.connected.load(Ordering::Relaxed);
            if close && !connected && !namespaces.has_passed_foreign() {
                session.shut_down();
            }
        });
    }

    /// Why the server has closed the session, if it has.
    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.close_reason.get().copied()
    }

    /// Counts and logs why a connection or the session is closed.
    pub(super) fn record_close(&self, why: CloseReason) {
        self.metrics.closed(why.as_str());
        let reason = why.as_str();
        match why {
            CloseReason::Draining | CloseReason::Replaced => {
                tracing::debug!(reason, "a connection is closed");
            }
            _ => log_in_bursts!(info, reason, "a connection is closed by the server"),
        }
    }

    /// Counts that socketioxide closes the session, once for all its namespaces.
    pub(super) fn record_engine_close(&self, reason: &'static str) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            self.metrics.closed(reason);
        }
    }

    /// Closes the session of a client that cannot connect now. socketioxide's refusal does not reach it: a stock client takes
    /// that for final, but reconnects when its transport is closed.
    pub(super) fn reject_connect(&self, error: &Error) {
        let _ = self.rejection.set(error.clone().into());
        self.close(CloseReason::Refused(error.code()));
    }

    /// The error of [`reject_connect`](Self::reject_connect), if it was called.
    pub(super) fn rejection(&self) -> Option<&Error> {
        self.rejection.get().map(Box::as_ref)
    }

    /// Closes the session without a reason.
    pub(super) fn shut_down(&self) {
        self.outbox.end();
        self.end_polling();
    }
}

impl OutboxOwner for EngineSession {
    /// Closes the session and counts the reason. A stock client sees a transport close and reconnects.
    fn close(&self, why: CloseReason) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            let _ = self.close_reason.set(why);
            self.record_close(why);
            // What is queued for the client is still sent, as far as it takes it at once.
            self.outbox.end_after(close_codes::close_frame(why));
            self.end_polling();
        }
    }

    fn close_later(&self, why: CloseReason) {
        let outbox = self.outbox.clone();
        tokio::spawn(async move { outbox.close_as(why) });
    }

    fn take_connect_reply(&self, namespace: &str) -> Option<ConnectReply> {
        let mut replies = lock(&self.connect_replies);
        let at = replies.iter().position(|(of, _)| **of == *namespace)?;
        let (_, reply) = replies.swap_remove(at);
        if replies.is_empty() {
            *replies = Vec::new();
        }
        Some(reply)
    }

    fn document(&self) -> Option<&str> {
        let (_, document) = self.inbound.document()?;
        Some(document.as_str())
    }

    fn send_barrier(&self) -> Result<bool, ChannelFull> {
        let sockets = lock(&self.sockets).clone();
        for socket in sockets.iter().filter_map(Weak::upgrade) {
            match socket.emit(BARRIER_EVENT, &RawArguments(&[])) {
                Ok(()) => return Ok(true),
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                    return Err(ChannelFull);
                }
                Err(_) => {}
            }
        }
        Ok(false)
    }

    /// Makes socketioxide close the session if it polls; its outbox is left alone. A session that has upgraded ends with its
    /// WebSocket's stream.
    fn end_polling(&self) {
        self.post_close();
    }
}

/// Those of a namespace.
fn find(rates: &[(Namespace, ConnectionRates)], namespace: &Namespace) -> Option<ConnectionRates> {
    let (_, rates) = rates.iter().find(|(of, _)| of == namespace)?;
    Some(rates.clone())
}

impl Drop for EngineSession {
    fn drop(&mut self) {
        self.metrics.sessions.dec();
        self.outbox.end_unless_attached();
    }
}
