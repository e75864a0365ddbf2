//! Admission: what every transport checks before anything is upgraded or kept (origin, draining, quotas, pace, identity), and the
//! pool of tasks that write to the clients that were admitted.

mod auth_failures;
mod authenticator;
mod log_in;
mod queue;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::response::Response;
use http::{Extensions, HeaderMap, request::Parts};
use tokio_util::sync::CancellationToken;

pub(crate) use self::authenticator::{Authenticator, TOKEN_NEEDED};
use self::{auth_failures::AuthFailures, log_in::LogIns, queue::AdmissionQueue};
use super::{
    packet_rate::PacketRate,
    wire::{OutboxLimits, WriteQueue, WriterPool},
};
use crate::{
    auth::{ApplicationAuth, Principal},
    error::{Code, Error, Result},
    hooks::ClientFacts,
    http::{
        buffered_body::BodyReservation,
        client_address, error_response,
        origins::{Origins, Trust},
    },
    hub::Hub,
    limits::{ConnectionPermit, ConnectionQuota, Holder, Pool, Rate},
    retry::{LogLimiter, log_at},
};

/// Admits clients of all transports.
pub(crate) struct AdmissionControl {
    hub: Hub,
    origins: Origins,
    authenticator: Authenticator,
    admission: ConnectionQuota,
    /// New connections that wait for their turn.
    queue: AdmissionQueue,
    /// Limits the warning about proxies that omit their clients' addresses.
    unknown_client_log: LogLimiter,
    draining: CancellationToken,
    log_ins: LogIns,
    writers: Arc<WriterPool>,
}

/// What all transports need of the configuration.
pub(crate) struct AdmissionConfig {
    /// Pages that may connect.
    pub(crate) origins: Origins,
    /// The cookie that may hold a token.
    pub(crate) cookie: Option<String>,
    /// Whether Socket.IO clients may send a token with their HTTP requests.
    pub(crate) early_tokens: bool,
    /// Cancelled when the node shuts down.
    pub(crate) draining: CancellationToken,
    /// The application's own authentication.
    pub(crate) application: Option<ApplicationAuth>,
}

/// How often a proxy that omits addresses is logged.
const UNKNOWN_CLIENT_LOG_INTERVAL: Duration = Duration::from_secs(600);

/// Most tasks that write to clients: writing is most of the work, but not all of it.
const MAX_WRITERS: usize = 8;

/// When a client should retry after a connection limit was reached.
const QUOTA_RETRY_DELAY: Duration = Duration::from_secs(5);

/// When a client should reconnect that meets a draining node.
const DRAINING_RETRY_DELAY: Duration = Duration::from_secs(1);

impl AdmissionControl {
    /// Starts the writer tasks; needs a tokio runtime.
    pub(crate) fn new(hub: &Hub, config: AdmissionConfig) -> Self {
        let limits = hub.limits();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let writers = Arc::new(WriterPool::start(cores.min(MAX_WRITERS), limits.stall));
        hub.register_batch_writer(writers.clone());
        let admission = ConnectionQuota::new(
            limits.connections,
            limits.connections_per_ip,
            limits.handshakes,
        );
        watch_handshakes(hub, admission.handshakes());
        Self {
            hub: hub.clone(),
            origins: config.origins.clone(),
            admission,
            queue: AdmissionQueue::new(
                Rate::new(limits.connects_per_second, limits.connects_burst),
                limits.connects_wait,
            ),
            unknown_client_log: LogLimiter::with_limit(1, UNKNOWN_CLIENT_LOG_INTERVAL),
            draining: config.draining.clone(),
            log_ins: LogIns::new(limits.logins_per_minute),
            authenticator: Authenticator::new(hub, config),
            writers,
        }
    }

    /// The hub that admitted clients connect to.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Identifies clients by their tokens.
    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// What a hook is told of a client that makes a request, if one is asked about clients.
    pub(crate) fn client_facts(&self, request: &Parts) -> ClientFacts<'static> {
        let address = client_address(&request.extensions).ip;
        let trust = self.trust(request);
        self.authenticator.client_facts(request, trust, address)
    }

    /// Where operators log in.
    pub(crate) fn log_ins(&self) -> &LogIns {
        &self.log_ins
    }

    /// The node's name.
    pub(super) fn node(&self) -> &str {
        &self.hub.node_info().id
    }

    /// The limits of a client's outbox, and the queue of the task that writes it out.
    pub(super) fn outbox_config(&self) -> (OutboxLimits, Arc<WriteQueue>) {
        let limits = self.hub.limits();
        let bounds = OutboxLimits {
            bytes: limits.outbox_bytes.bytes(),
            stall: limits.stall,
        };
        (bounds, self.writers.queue())
    }

    /// A new client's rate of packets that carry no event.
    pub(super) fn packet_rate(&self) -> Arc<PacketRate> {
        let limits = self.hub.limits();
        let rate = Rate::new(limits.packets_per_second, limits.packets_burst);
        PacketRate::new(rate, self.hub.metrics().clone())
    }

    /// Cancelled when the node shuts down.
    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Counts an error, and makes a response of it.
    pub(super) fn reject(&self, error: &Error) -> Response {
        self.hub.metrics().error(error);
        error_response(error)
    }

    /// Checks that the requesting page may read the response: otherwise CORS withholds it.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn check_origin(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<()> {
        match self.origins.trust(headers, extensions) {
            Some(Trust::Full | Trust::WithoutCookies) => Ok(()),
            Some(Trust::WithoutHeaders) | None => Err(self.origins.refuse(headers)),
        }
    }

    /// How far the page that sent a request is trusted.
    pub(super) fn trust(&self, request: &Parts) -> Option<Trust> {
        self.origins.trust(&request.headers, &request.extensions)
    }

    /// Checks that the requesting page may open a WebSocket, or a session that may become one: CORS does not apply to those.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn check_websocket_origin(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<()> {
        match self.origins.trust(headers, extensions) {
            Some(_) => Ok(()),
            None => Err(self.origins.refuse(headers)),
        }
    }

    /// Checks that the node is not shutting down.
    ///
    /// # Errors
    /// `draining`.
    pub(crate) fn check_not_draining(&self) -> Result<()> {
        if !self.draining.is_cancelled() {
            return Ok(());
        }
        Err(
            Error::new(Code::Draining, "this node is going down; connect again")
                .retry_after(DRAINING_RETRY_DELAY),
        )
    }

    /// Admits a client that has to be identified: verifies its token and waits for a connection permit.
    ///
    /// # Errors
    /// The node is draining, the token is missing or wrong, or a limit is reached.
    pub(crate) async fn admit(&self, request: &Parts) -> Result<(ConnectionPermit, Principal)> {
        self.check_not_draining()?;
        let principal = self.authenticator.principal(request).await?;
        let permit = self.acquire_permit(request, Some(&principal)).await?;
        Ok((permit, principal))
    }

    /// Admits a client that may send its token later, with its CONNECT, and whose page is [trusted](Self::trust) so far.
    ///
    /// # Errors
    /// The node is draining, a token is wrong, or a limit is reached.
    pub(crate) async fn admit_early(
        &self,
        request: &Parts,
        trust: Option<Trust>,
    ) -> Result<(ConnectionPermit, Option<Principal>)> {
        self.check_not_draining()?;
        let principal = self.authenticator.identify_early(request, trust).await?;
        let permit = self.acquire_permit(request, principal.as_ref()).await?;
        Ok((permit, principal))
    }

    /// Admits a client that nothing is known of yet.
    ///
    /// # Errors
    /// The node is draining, or a limit is reached.
    pub(super) async fn admit_stranger(&self, request: &Parts) -> Result<ConnectionPermit> {
        self.check_not_draining()?;
        self.acquire_permit(request, None).await
    }

    /// Who a request's use of shared pools is charged to. In open mode user names prove nothing, so it is the address.
    pub(crate) fn holder(&self, request: &Parts, principal: Option<&Principal>) -> Holder {
        match principal {
            Some(principal) if !self.hub.authority().is_open() => {
                Holder::User(principal.user.clone())
            }
            _ => Holder::address(client_address(&request.extensions).ip),
        }
    }

    /// Acquires a permit for one more connection, and waits for its turn.
    async fn acquire_permit(
        &self,
        request: &Parts,
        principal: Option<&Principal>,
    ) -> Result<ConnectionPermit> {
        let address = client_address(&request.extensions);
        if address.unknown {
            self.warn_about_proxy(address.ip);
        }
        let holder = self.holder(request, principal);
        let permit = self.admission.admit(address.ip, holder.clone());
        let permit = permit.map_err(|limit| {
            Error::new(
                Code::LimitReached,
                format!("too many connections: limits.{} is reached", limit.name()),
            )
            .for_limit(limit)
            .retry_after(QUOTA_RETRY_DELAY)
        })?;
        tokio::select! {
            biased;
            () = self.draining.cancelled() => self.check_not_draining()?,
            admitted = self.queue.wait(&holder) => admitted?,
        }
        Ok(permit)
    }

    /// Logs once in a while that a trusted proxy omits its clients' addresses: all of them count as one.
    fn warn_about_proxy(&self, proxy: IpAddr) {
        log_at!(
            self.unknown_client_log,
            warn,
            %proxy,
            "a proxy in http.trusted_proxies sends no readable X-Forwarded-For or Forwarded: its clients are counted as one"
        );
    }

    /// Charges a request to its identified caller; `None`: a back end.
    pub(crate) fn charge(&self, request: &mut Parts, caller: Option<&Principal>) -> ChargedRequest {
        let holder = match caller {
            Some(_) => self.holder(request, caller),
            None => Holder::Backend,
        };
        let body = BodyReservation::default();
        request.extensions.insert(holder.clone());
        request.extensions.insert(body.clone());
        ChargedRequest {
            holder,
            _body: body,
        }
    }
}

/// Keeps the gauge of unfinished handshakes up to date.
fn watch_handshakes(hub: &Hub, handshakes: &Arc<Pool>) {
    let gauge = hub.metrics().handshakes.clone();
    let handshakes = Arc::downgrade(handshakes);
    hub.metrics().on_scrape(move || {
        let used = handshakes.upgrade().map_or(0, |pool| pool.used());
        gauge.set(used.try_into().unwrap_or(i64::MAX));
    });
}

/// A request that is charged to its caller, with the reservation for its body.
pub(crate) struct ChargedRequest {
    holder: Holder,
    _body: BodyReservation,
}

impl ChargedRequest {
    /// Charges the response to the same caller, and releases the body.
    pub(crate) fn finish(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self.holder);
        response
    }
}
