//! An Engine.IO session as this server sees it: what it was admitted as, and how it is closed from here.
//!
//! A link travels in the extensions of the request that opened the session, and engineioxide keeps those for as long
//! as the session lives. So a link is dropped when its session ends, whatever the transport and however it ended, and
//! what it holds (a place among the connections) is given back then.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use dashmap::DashMap;
use http::{Method, Request};
use socketioxide::socket::Sid;
use tower::ServiceExt;

use super::{Engine, wire::Cut};
use crate::{auth::Principal, limits::Admitted, telemetry::Metrics};

/// The sessions that began with polling, by Engine.IO id: an upgrade names its session so.
pub(super) type Links = DashMap<Sid, Weak<Link>>;

/// A session.
pub(super) struct Link {
    principal: Option<Principal>,
    engine: Engine,
    cut: Arc<Cut>,
    polling: OnceLock<Polling>,
    connected: AtomicBool,
    metrics: Arc<Metrics>,
    _admitted: Admitted,
}

/// What ends a session by polling, and forgets it.
struct Polling {
    sid: Sid,
    /// Path and query of its requests.
    uri: String,
    /// Engine.IO's "close" packet, framed for the session's protocol.
    close: &'static str,
    links: Weak<Links>,
}

impl Link {
    /// A session that was admitted; `principal` is who the handshake's own token speaks for.
    pub(super) fn new(
        engine: Engine,
        principal: Option<Principal>,
        admitted: Admitted,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        metrics.sessions.inc();
        Arc::new(Self {
            principal,
            engine,
            cut: Arc::default(),
            polling: OnceLock::new(),
            connected: AtomicBool::new(false),
            metrics,
            _admitted: admitted,
        })
    }

    /// Who the handshake's own token speaks for, if it had one.
    pub(super) fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// What ends the WebSocket of this session.
    pub(super) fn cut(&self) -> &Arc<Cut> {
        &self.cut
    }

    /// Notes that the session is one by polling, reached at `path` with Engine.IO `protocol`.
    pub(super) fn polls(self: &Arc<Self>, sid: Sid, path: &str, protocol: u8, links: &Arc<Links>) {
        links.insert(sid, Arc::downgrade(self));
        let polling = Polling {
            sid,
            uri: format!("{path}/?EIO={protocol}&transport=polling&sid={sid}"),
            close: if protocol == 3 { "1:1" } else { "1" },
            links: Arc::downgrade(links),
        };
        // A session is opened once; were it noted twice, the first note would hold.
        let _ = self.polling.set(polling);
    }

    /// Notes that the session has connected to a namespace.
    pub(super) fn connected(&self) {
        self.connected.store(true, Ordering::Relaxed);
    }

    /// Ends the session if it has not connected to any namespace within this time. For Engine.IO 3, where socketioxide
    /// itself lets a session that was refused stay for as long as it pings.
    pub(super) fn expect_connect(self: &Arc<Self>, within: Duration) {
        let link = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(within).await;
            if let Some(link) = link.upgrade()
                && !link.connected.load(Ordering::Relaxed)
            {
                link.close();
            }
        });
    }

    /// Ends the session so that a stock client sees a transport close and comes back.
    pub(super) fn close(&self) {
        self.cut.make();
        let Some(polling) = self.polling.get() else {
            return;
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(&polling.uri)
            .body(Body::from(polling.close))
            .expect("a path, a query and a static body");
        let engine = self.engine.clone();
        // A session that has upgraded refuses this: the cut has ended it.
        tokio::spawn(async move { drop(engine.oneshot(request).await) });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.metrics.sessions.dec();
        if let Some(polling) = self.polling.get()
            && let Some(links) = polling.links.upgrade()
        {
            links.remove(&polling.sid);
        }
    }
}
