//! The whole server: built from a configuration, and run until it is told to stop.
//!
//! [`App::builder`] is also how an application embeds Switchboard: it adds events and routes of its own, keeps a [`Hub`] to
//! publish with, and controls the listener and the shutdown.

use std::{future::Future, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::internal::InternalListener;
#[cfg(feature = "webtransport")]
use crate::http::webtransport::WebTransportListener;
use crate::{
    backend::{Backend, Deliveries},
    config::Config,
    http::{self, CertificateReload, PeerRules, ServerConfig},
    hub::Hub,
    transport::socketio::SocketIo,
};

mod builder;
mod crypto;
mod drain;
mod internal;
mod listen;
mod probe;
mod routes;
mod running;
mod start_error;
mod stop_signal;

pub use builder::AppBuilder;
pub(crate) use crypto::install_default_provider;
pub use listen::listen;
pub use running::AppHandle;
pub use start_error::StartError;
pub use stop_signal::stop_signal;

/// How long open HTTP requests may take to complete after everything else has stopped.
const REQUEST_GRACE: Duration = Duration::from_millis(500);

/// A server that is ready to run.
///
/// ```no_run
/// use switchboard::{
///     App, StartError,
///     app::{listen, stop_signal},
///     config::Config,
/// };
///
/// #[tokio::main]
/// async fn main() -> Result<(), StartError> {
///     let app = App::builder(Config::from_env()?).build().await?;
///     let listener = listen(app.config().listen)?;
///     app.run(listener, stop_signal()).await;
///     Ok(())
/// }
/// ```
pub struct App {
    config: Config,
    hub: Hub,
    io: SocketIo,
    router: Router,
    internal: Option<InternalListener>,
    tls: Option<CertificateReload>,
    backend: Backend,
    deliveries: Deliveries,
    draining: CancellationToken,
    /// Cancelled by an operator who shuts this node down.
    stop_requested: CancellationToken,
    /// Cancels the refreshing of keys, also of a server that never ran.
    key_refresh: DropGuard,
}

impl App {
    /// Starts building a server with this configuration.
    pub fn builder(config: Config) -> AppBuilder {
        AppBuilder::new(config)
    }

    /// The hub, to publish to rooms and to see who is connected. Cheap to clone.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The handle of socketioxide, to emit to the sockets of all nodes.
    pub fn io(&self) -> &SocketIo {
        &self.io
    }

    /// The address of the listener for operators, if `http.internal_listen` is set.
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.internal.as_ref()?.address()
    }

    /// The configuration in effect.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Serves `listener` until `shutdown` completes, or an operator shuts the node down in the dashboard; then drains the connections, stores everything that was accepted, and
    /// returns.
    ///
    /// Where nobody identifies clients and `auth.allow_anyone` is not set, only clients on this machine are answered, whatever
    /// `listener` listens on.
    pub async fn run(mut self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let server = self.server_config();
        let (mut serving, mut background) = (JoinSet::new(), JoinSet::new());
        if server.peers.this_machine_only {
            warn_if_reachable(&listener);
        }
        let stop = CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        #[cfg(feature = "webtransport")]
        let webtransport = self.bind_webtransport(&listener);
        if let Some(certificates) = self.tls.take() {
            background.spawn(certificates.run());
        }
        let (router, handle) = running::start(self);
        let end = handle.end().clone();
        #[cfg(feature = "webtransport")]
        if let Some(webtransport) = webtransport {
            let (router, server) = (router.clone(), server.clone());
            serving.spawn(webtransport.serve(router, server, stop.clone(), end.clone()));
        }
        serving.spawn(http::serve(listener, router, server, stop.clone(), end));
        tokio::select! {
            () = shutdown => {}
            () = handle.stop_requested() => {}
        }
        if handle.drains_briefly() {
            // The system refuses clients that already reconnect, at no cost to those that are still to be closed.
            stop.cancel();
        }
        handle.drain().await;
        stop.cancel();
        handle.close().await;
        let served = async { while serving.join_next().await.is_some() {} };
        if tokio::time::timeout(REQUEST_GRACE, served).await.is_err() {
            tracing::debug!("dropped an HTTP request that was still open at shutdown");
        }
    }

    /// Starts everything but accepting connections, and returns the whole server as a router and the handle that stops it: for
    /// applications that serve themselves, with TLS, tower layers around everything, or as a part of a larger router.
    ///
    /// Clients are told apart by their addresses, so serve the router with axum's `ConnectInfo<SocketAddr>`; without it, all of
    /// them count as one. The application then has to do what the accept loop of [`run`](Self::run) does for its connections:
    /// timeouts for request heads and for idle connections, bounds of their number, `TCP_NODELAY`, the memory budget
    /// for heads and for responses that are not read, ending the connection of an event stream whose client does not read, and
    /// half a second for open requests to complete at the end: axum's graceful shutdown would wait for them without bound.
    ///
    /// Where nobody identifies clients and `auth.allow_anyone` is not set, only clients on this machine are answered, and none
    /// without `ConnectInfo`.
    ///
    /// ```no_run
    /// use std::{future::IntoFuture, net::SocketAddr};
    ///
    /// use switchboard::{App, app::{listen, stop_signal}, config::Config};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let stop = stop_signal();
    /// let app = App::builder(Config::from_env()?).build().await?;
    /// let listener = listen(app.config().listen)?;
    /// let (router, server) = app.into_router();
    /// let service = router.into_make_service_with_connect_info::<SocketAddr>();
    /// tokio::select! {
    ///     served = axum::serve(listener, service).into_future() => served?,
    ///     () = async {
    ///         tokio::select! {
    ///             () = stop => {}
    ///             () = server.stop_requested() => {}
    ///         }
    ///         server.shutdown().await;
    ///     } => {}
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    pub fn into_router(self) -> (Router, AppHandle) {
        let peers = self.peer_rules();
        let (router, handle) = running::start(self);
        (http::with_request_context(router, peers), handle)
    }

    /// Listens for WebTransport on the port of `listener`.
    #[cfg(feature = "webtransport")]
    fn bind_webtransport(&self, listener: &TcpListener) -> Option<WebTransportListener> {
        let tls = self.tls.as_ref().filter(|_| self.config.webtransport)?;
        // A client is pinged in this interval, and has this long to reply.
        let silence = self.config.socketio.ping_interval + self.config.socketio.ping_timeout;
        let (address, path) = (listener.local_addr(), &self.config.socketio.path);
        let bound =
            address.and_then(|it| WebTransportListener::bind(it, path, tls.acceptor(), silence));
        bound
            .inspect_err(|error| tracing::error!(%error, "WebTransport is not served: its UDP port cannot be listened on"))
            .ok()
    }

    fn server_config(&self) -> ServerConfig {
        ServerConfig {
            header_timeout: self.config.http.header_timeout,
            // A client that stops reading is up to the send queues, which must detect it first.
            tcp_user_timeout: self.config.limits.stall + Duration::from_secs(20),
            peers: self.peer_rules(),
            proxy_protocol: self.config.http.proxy_protocol,
            connections: self.config.limits.connections,
            idle_connections: self.config.limits.idle_connections,
            memory: self.hub.memory().clone(),
            tls: self.tls.as_ref().map(|tls| tls.acceptor().clone()),
            metrics: self.hub.metrics().clone(),
        }
    }

    fn peer_rules(&self) -> PeerRules {
        PeerRules {
            trusted_proxies: self.config.http.trusted_proxies.iter().copied().collect(),
            this_machine_only: self.hub.authority().is_open() && !self.config.auth.allow_anyone,
        }
    }
}

/// `listener` need not be on `Config::listen`, which has been checked.
fn warn_if_reachable(listener: &TcpListener) {
    let address = listener.local_addr();
    if let Some(address) = address
        .ok()
        .filter(|address| !address.ip().to_canonical().is_loopback())
    {
        tracing::error!(
            "{address} can be reached from other machines, and no key is configured: clients there are refused; set \
             auth.hmac_secret, auth.public_key or auth.jwks, or auth.allow_anyone = true to let anyone connect"
        );
    }
}
