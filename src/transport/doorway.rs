//! What all doors share: who may come in (origin, draining, places, pace and identity are checked here, before anything
//! is upgraded or kept), and the tasks that write to those who are in.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::response::Response;
use http::{Extensions, HeaderMap, request::Parts};
use tokio_util::sync::CancellationToken;

use super::{
    admission_queue::AdmissionQueue,
    auth_failures::AuthFailures,
    packet_rate::PacketRate,
    wire::{OutboxLimits, WriteQueue, WriterPool},
};
use crate::{
    auth::{HttpToken, Principal, find_token, query_user},
    error::{Code, Error, Result},
    http::{
        buffered_body::BodyReservation,
        client_address, error_response,
        origins::{Origins, Trust},
    },
    hub::Hub,
    limits::{ConnectionPermit, ConnectionQuota, Holder, Rate},
    model::Timestamp,
    retry::{LogLimiter, log_at},
};

/// The way in and the way out, shared by all doors.
pub(crate) struct Doorway {
    hub: Hub,
    origins: Origins,
    admission: ConnectionQuota,
    /// Who comes faster than new connections may come.
    queue: AdmissionQueue,
    /// How often it is said that a proxy leaves its clients' addresses out.
    nameless_proxies: LogLimiter,
    /// Who comes without a good token or key.
    failures: AuthFailures,
    cookie: Option<String>,
    early_tokens: bool,
    draining: CancellationToken,
    node: String,
    flushers: Arc<WriterPool>,
}

/// What a door is told by the configuration, whichever it is.
pub(crate) struct DoorwayConfig {
    /// Pages that may connect.
    pub(crate) origins: Origins,
    /// The cookie that may hold a token.
    pub(crate) cookie: Option<String>,
    /// Whether Socket.IO clients may bring a token with their HTTP requests.
    pub(crate) early_tokens: bool,
    /// Cancelled when the node is going down.
    pub(crate) draining: CancellationToken,
    /// The node's name.
    pub(crate) node: String,
}

/// How long nothing more is said of a proxy that leaves addresses out.
const QUIET: Duration = Duration::from_secs(600);

/// Tasks that write to clients at the most: writing is most of the work, but the work beside it has to go on.
const FLUSHERS: usize = 8;

impl Doorway {
    /// Starts the tasks that write; needs a tokio runtime.
    pub(crate) fn new(hub: &Hub, config: DoorwayConfig) -> Self {
        let limits = hub.limits();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let flushers = Arc::new(WriterPool::start(cores.min(FLUSHERS), limits.stall));
        hub.register_batch_writer(flushers.clone());
        let admission = ConnectionQuota::new(
            limits.connections,
            limits.connections_per_ip,
            limits.handshakes,
        );
        let (gauge, handshakes) = (
            hub.metrics().handshakes.clone(),
            Arc::downgrade(admission.handshakes()),
        );
        hub.metrics().on_scrape(move || {
            let used = handshakes.upgrade().map_or(0, |pool| pool.used());
            gauge.set(used.try_into().unwrap_or(i64::MAX));
        });
        Self {
            hub: hub.clone(),
            origins: config.origins,
            admission,
            queue: AdmissionQueue::new(
                Rate::new(limits.connects_per_second, limits.connects_burst),
                limits.connects_wait,
            ),
            nameless_proxies: LogLimiter::with_limit(1, QUIET),
            failures: AuthFailures::new(Rate::new(
                limits.auth_failures_per_second,
                limits.auth_failures_burst,
            )),
            cookie: config.cookie,
            early_tokens: config.early_tokens,
            draining: config.draining,
            node: config.node,
            flushers,
        }
    }

    /// The rules behind it.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The node's name.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// What a way out of here is bound by, and who writes.
    pub(super) fn way_out(&self) -> (OutboxLimits, Arc<WriteQueue>) {
        let limits = self.hub.limits();
        let bounds = OutboxLimits {
            bytes: limits.outbox_bytes.bytes(),
            stall: limits.stall,
        };
        (bounds, self.flushers.queue())
    }

    /// How fast one client may send what carries no event.
    pub(super) fn packet_rate(&self) -> Arc<PacketRate> {
        let limits = self.hub.limits();
        let rate = Rate::new(limits.packets_per_second, limits.packets_burst);
        PacketRate::new(rate, self.hub.metrics().clone())
    }

    /// Cancelled when the node is going down.
    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Answers a request that is refused, and counts it.
    pub(super) fn refuse(&self, error: &Error) -> Response {
        self.hub.metrics().error(error);
        error_response(error)
    }

    /// Refuses pages that may not have an answer: where CORS does not let a page read it, it is of no use.
    pub(crate) fn check_origin(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<()> {
        match self.origins.trust(headers, extensions) {
            Some(Trust::Full | Trust::WithoutCookies) => Ok(()),
            Some(Trust::WithoutHeaders) | None => Err(self.origins.refuse(headers)),
        }
    }

    /// Refuses pages that may not open a WebSocket, or a session that may become one: those are not kept from reading it.
    pub(crate) fn check_page(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<()> {
        match self.origins.trust(headers, extensions) {
            Some(_) => Ok(()),
            None => Err(self.origins.refuse(headers)),
        }
    }

    /// Refuses everybody once the node is going down.
    pub(crate) fn check_open(&self) -> Result<()> {
        if !self.draining.is_cancelled() {
            return Ok(());
        }
        Err(
            Error::new(Code::Draining, "this node is going down; connect again")
                .retry_after(Duration::from_secs(1)),
        )
    }

    /// Lets in a client that has to be known: finds out who it is, and takes a place for one more connection once it is its
    /// turn.
    pub(crate) async fn admit(&self, request: &Parts) -> Result<(ConnectionPermit, Principal)> {
        self.check_open()?;
        let principal = self.principal(request).await?;
        let admitted = self.place(request, Some(&principal)).await?;
        Ok((admitted, principal))
    }

    /// Lets in a client that may bring its token later, too, with its CONNECT.
    pub(crate) async fn admit_early(
        &self,
        request: &Parts,
    ) -> Result<(ConnectionPermit, Option<Principal>)> {
        self.check_open()?;
        let principal = self.identify_early(request).await?;
        let admitted = self.place(request, principal.as_ref()).await?;
        Ok((admitted, principal))
    }

    /// Whom a request's use of a shared pool is counted for. A name that anybody may give itself is nobody's.
    pub(crate) fn holder(&self, request: &Parts, principal: Option<&Principal>) -> Holder {
        match principal {
            Some(principal) if !self.hub.authority().is_open() => {
                Holder::User(principal.user.clone())
            }
            _ => Holder::address(client_address(&request.extensions).ip),
        }
    }

    /// Takes a place for one more connection, once it is its turn.
    async fn place(
        &self,
        request: &Parts,
        principal: Option<&Principal>,
    ) -> Result<ConnectionPermit> {
        let address = client_address(&request.extensions);
        if address.unknown {
            self.warn_of_proxy(address.ip);
        }
        let holder = self.holder(request, principal);
        let admitted = self.admission.admit(address.ip, holder.clone());
        let admitted = admitted.map_err(|limit| {
            Error::new(
                Code::LimitReached,
                format!("too many connections: limits.{} is reached", limit.name()),
            )
            .for_limit(limit)
            .retry_after(Duration::from_secs(5))
        })?;
        tokio::select! {
            biased;
            () = self.draining.cancelled() => self.check_open()?,
            turn = self.queue.turn(&holder) => turn?,
        }
        Ok(admitted)
    }

    /// Whom a token speaks for that came from an address.
    pub(super) async fn verify(&self, address: IpAddr, token: &str) -> Result<Principal> {
        let authority = self.hub.authority();
        let dear = authority.needs_public_key(token);
        if dear {
            self.failures.check_forged(address)?;
        }
        let verified = authority.verify(token, Timestamp::now()).await;
        if let Err(error) = &verified
            && dear
            && error.code() == Code::Unauthorized
        {
            self.failures.note_forged(address);
        }
        verified
    }

    /// Notes that what a request brought is no good, and says why it is refused: for `error`, or because its address has failed
    /// too often.
    pub(crate) fn note_failure(&self, address: IpAddr, error: Error) -> Error {
        match error.code() {
            Code::Unauthorized | Code::TokenExpired => self.failures.note(address, error),
            _ => error,
        }
    }

    /// Says once in a while that a trusted proxy leaves its clients' addresses out: all of them count as one.
    fn warn_of_proxy(&self, proxy: IpAddr) {
        log_at!(
            self.nameless_proxies,
            warn,
            %proxy,
            "a proxy in http.trusted_proxies sends no X-Forwarded-For and no Forwarded that can be read: its clients \
             are counted as one"
        );
    }

    /// Who the request's own token speaks for, if it has one.
    async fn identify(&self, request: &Parts) -> Result<Option<Principal>> {
        let authority = self.hub.authority();
        if authority.is_open() {
            return Ok(None);
        }
        match self.token(request) {
            Some(token) => {
                let address = client_address(&request.extensions).ip;
                let verified = self.verify(address, &token.text).await;
                let verified = verified.map_err(|error| self.note_failure(address, error));
                verified.map(Some)
            }
            None => Ok(None),
        }
    }

    /// The request's own token. Of a page that nothing vouches for, what its browser or a proxy has added is not its own.
    fn token(&self, request: &Parts) -> Option<HttpToken> {
        let query = request.uri.query();
        let (headers, cookie) = (&request.headers, self.cookie.as_deref());
        match self.origins.trust(headers, &request.extensions) {
            Some(Trust::Full) => find_token(headers, query, cookie),
            Some(Trust::WithoutCookies) => find_token(headers, query, None),
            Some(Trust::WithoutHeaders) | None => find_token(&HeaderMap::new(), query, None),
        }
    }

    /// Who the HTTP request of a client speaks for that can bring a token later, too, with its CONNECT. A text that is no JSON
    /// Web Token is something of a proxy's or of the application's, and left alone: the client is refused at its CONNECT if
    /// it brings nothing better.
    async fn identify_early(&self, request: &Parts) -> Result<Option<Principal>> {
        match self.early_token(request) {
            Some(token) if token.is_jwt() => self.identify(request).await,
            _ => Ok(None),
        }
    }

    /// The token of such a request, if it is to be read.
    pub(crate) fn early_token(&self, request: &Parts) -> Option<HttpToken> {
        self.token(request).filter(|_| self.early_tokens)
    }

    /// Has a request charged to whoever was found to call; `None`: a back end.
    pub(crate) fn charge(&self, request: &mut Parts, identity: Option<&Principal>) -> Charged {
        let holder = match identity {
            Some(_) => self.holder(request, identity),
            None => Holder::Backend,
        };
        let kept = BodyReservation::default();
        request.extensions.insert(holder.clone());
        request.extensions.insert(kept.clone());
        Charged {
            holder,
            _kept: kept,
        }
    }

    /// Who the request speaks for, where that has to be known; in open mode, whoever it says.
    pub(crate) async fn principal(&self, request: &Parts) -> Result<Principal> {
        let authority = self.hub.authority();
        if authority.is_open() {
            return authority.open_principal(query_user(request.uri.query()).as_deref());
        }
        let identified = self.identify(request).await?;
        identified.ok_or_else(|| {
            let trust = self.origins.trust(&request.headers, &request.extensions);
            let error = Error::unauthorized(match trust {
                Some(Trust::Full) => {
                    "a token is needed: Authorization: Bearer, the configured cookie, or ?token="
                }
                _ => {
                    "a token is needed: ?token=; cookies and Authorization are read only of pages whose origin \
                     http.origins lists, and of the server's own"
                }
            });
            self.note_failure(client_address(&request.extensions).ip, error)
        })
    }
}

/// A request that is charged to somebody, with what is reserved for its body.
pub(crate) struct Charged {
    holder: Holder,
    _kept: BodyReservation,
}

impl Charged {
    /// It has been answered: so is the answer charged.
    pub(crate) fn answered(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self.holder);
        response
    }
}
