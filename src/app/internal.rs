//! The second listener, for operators: metrics and health checks.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::start_error::StartError;
use crate::http::{self, PeerRules, ServerConfig};

/// The maximum number of connections of operators.
const MAX_CONNECTIONS: usize = 256;

/// A listener that only operators can reach.
pub(super) struct InternalListener {
    listener: TcpListener,
    router: Router,
}

impl InternalListener {
    pub(super) async fn bind(address: SocketAddr, router: Router) -> Result<Self, StartError> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| StartError::ListenInternal { address, source })?;
        Ok(Self { listener, router })
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves until `end`, also while the node drains.
    pub(super) async fn serve(self, config: ServerConfig, end: CancellationToken) {
        let config = ServerConfig {
            peers: PeerRules {
                trusted_proxies: Arc::default(),
                this_machine_only: false,
            },
            proxy_protocol: false,
            connections: MAX_CONNECTIONS,
            idle_connections: MAX_CONNECTIONS,
            tls: None,
            ..config
        };
        http::serve(self.listener, self.router, config, end.clone(), end).await;
    }
}
