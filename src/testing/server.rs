//! A server in the process of a test.

use std::{net::SocketAddr, time::Duration};

use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    app::{App, AppBuilder, StartError, listen},
    config::{Config, Store},
    hub::Hub,
};

/// A server that runs in this process, on a free port of the loopback interface. It stops when it is dropped; see
/// [`stop`](Self::stop) to stop it in order.
pub struct TestServer {
    address: SocketAddr,
    hub: Hub,
    socketio_path: String,
    stop: CancellationToken,
    running: AbortOnDropHandle<()>,
}

impl TestServer {
    /// Starts a server with its log in memory and without rates, whatever its configuration says about those, so that a test
    /// depends neither on files nor on its own speed.
    ///
    /// # Errors
    /// Fails as [`AppBuilder::build`] does.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    pub async fn start(builder: AppBuilder) -> Result<Self, StartError> {
        Self::run(builder.configure(for_tests).build().await?)
    }

    /// Runs a server as it is configured, apart from its address.
    ///
    /// # Errors
    /// There is no free port.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    pub fn run(app: App) -> Result<Self, StartError> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listen(any_port)?;
        let address = listener.local_addr();
        let address = address.map_err(|source| StartError::Listen {
            address: any_port,
            source,
        })?;
        let (hub, stop) = (app.hub().clone(), CancellationToken::new());
        let socketio_path = app.config().socketio.path.trim_end_matches('/').to_owned();
        let running = tokio::spawn(app.run(listener, stop.clone().cancelled_owned()));
        Ok(Self {
            address,
            hub,
            socketio_path,
            stop,
            running: AbortOnDropHandle::new(running),
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path: `server.url("/healthz")`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The server's hub.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Where Socket.IO clients connect.
    pub(super) fn socketio_path(&self) -> &str {
        &self.socketio_path
    }

    /// Stops in order, as on a stop signal, and returns when the server has ended.
    ///
    /// # Panics
    /// Panics if the server panicked.
    pub async fn stop(self) {
        self.stop.cancel();
        self.running.await.expect("the server does not panic");
    }
}

fn for_tests(config: &mut Config) {
    config.store = Some(Store::Memory);
    config.redis.url = None;
    config.http.internal_listen = None;
    config.drain.over = Some(Duration::from_millis(10));
    let limits = &mut config.limits;
    for rate in [
        &mut limits.messages_per_second,
        &mut limits.user_messages_per_second,
        &mut limits.packets_per_second,
        &mut limits.joins_per_second,
        &mut limits.user_joins_per_second,
        &mut limits.notices_per_second,
        &mut limits.connects_per_second,
        &mut limits.auth_failures_per_second,
    ] {
        *rate = 0;
    }
}
