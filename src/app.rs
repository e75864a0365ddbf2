//! The whole server: built from a configuration, and run until it is told to stop.
//!
//! [`App::builder`] is also how an application embeds Switchboard: it adds events and routes of its own, keeps a [`Hub`] to
//! publish with, and controls the listener and the shutdown.

use std::{future::Future, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_util::sync::CancellationToken;

use self::{drain::drain, internal::InternalListener};
use crate::{
    backend::{Backend, Deliveries},
    config::Config,
    http::{self, ServerConfig},
    hub::{CloseReason, Hub},
    transport::socketio::SocketIo,
};

mod builder;
mod drain;
mod internal;
mod start_error;
mod stop_signal;

pub use builder::AppBuilder;
pub use start_error::StartError;
pub use stop_signal::stop_signal;

/// How long open HTTP requests may take to complete after everything else has stopped.
const REQUEST_GRACE: Duration = Duration::from_millis(500);

/// A server that is ready to run.
///
/// ```no_run
/// use switchboard::{App, app::stop_signal, config::Config};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let app = App::builder(Config::default()).build().await?;
/// let listener = tokio::net::TcpListener::bind(app.config().listen).await?;
/// app.run(listener, stop_signal()).await;
/// # Ok(())
/// # }
/// ```
pub struct App {
    config: Config,
    hub: Hub,
    io: SocketIo,
    router: Router,
    internal: Option<InternalListener>,
    backend: Backend,
    deliveries: Deliveries,
    draining: CancellationToken,
    key_refresh: CancellationToken,
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

    /// Serves `listener` until `shutdown` completes; then drains the connections, stores everything that was accepted, and
    /// returns.
    pub async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());
        let server = self.server_config();
        let delivering = tokio::spawn(self.hub.clone().deliver_all(self.deliveries));
        let tending = tokio::spawn(self.hub.clone().run_maintenance());
        let _guard = RunGuard {
            hub: self.hub.clone(),
            draining: self.draining.clone(),
            tokens: [stop.clone(), end.clone(), self.key_refresh.clone()],
            tasks: [delivering.abort_handle(), tending.abort_handle()],
        };
        if let Some(internal) = self.internal {
            tokio::spawn(internal.serve(server.clone(), end.clone()));
        }
        let serving = tokio::spawn(http::serve(
            listener,
            self.router,
            server,
            stop.clone(),
            end.clone(),
        ));
        shutdown.await;
        let pubsub = self.backend.pubsub.as_ref();
        let has_peers = pubsub.is_some_and(|pubsub| pubsub.node_count() > 1);
        if self.config.drain.is_brief(has_peers) {
            // The system refuses clients that already reconnect, at no cost to those that are still to be closed.
            stop.cancel();
        }
        drain(&self.hub, &self.config.drain, has_peers, &self.draining).await;
        stop.cancel();
        end.cancel();
        // What was accepted is stored even if its sender no longer waits for the ack.
        self.backend.log.close().await;
        self.key_refresh.cancel();
        if tokio::time::timeout(REQUEST_GRACE, serving).await.is_err() {
            tracing::debug!("dropped an HTTP request that was still open at shutdown");
        }
    }

    fn server_config(&self) -> ServerConfig {
        ServerConfig {
            header_timeout: self.config.http.header_timeout,
            // A client that stops reading is up to the send queues, which must detect it first.
            tcp_user_timeout: self.config.limits.stall + Duration::from_secs(20),
            trusted_proxies: self.config.http.trusted_proxies.iter().copied().collect(),
            connections: self.config.limits.connections,
            idle_connections: self.config.limits.idle_connections,
            memory: self.hub.memory().clone(),
            metrics: self.hub.metrics().clone(),
        }
    }
}

/// Stops the tasks of [`App::run`] when it ends, also if its future is dropped early: connections would otherwise stay open
/// with nothing to deliver to them, and the port would stay in use.
struct RunGuard {
    hub: Hub,
    draining: CancellationToken,
    tokens: [CancellationToken; 3],
    tasks: [AbortHandle; 2],
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        self.draining.cancel();
        self.tokens.iter().for_each(CancellationToken::cancel);
        // Dropped after its runtime, no connections are left, and closing them would need one.
        if tokio::runtime::Handle::try_current().is_ok() {
            for connection in self.hub.connections() {
                connection.close(CloseReason::Draining);
            }
        }
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
