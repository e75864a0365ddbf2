//! Configuration of the HTTP server.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{PeerRules, TlsAcceptor, client_address::is_trusted_proxy};
use crate::{limits::Pool, telemetry::Metrics};

/// Bounds of the HTTP server, and what its connections share.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Time within which a request's head has to arrive. An HTTP/2 connection without a request is closed after the same time.
    pub header_timeout: Duration,
    /// How long sent data may stay unacknowledged (`TCP_USER_TIMEOUT`). Without it, a peer that vanished while it only listens
    /// to an event stream would be kept until the system gives up, a quarter of an hour.
    pub tcp_user_timeout: Duration,
    /// Who may make requests.
    pub peers: PeerRules,
    /// Connections of trusted proxies begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Maximum number of realtime connections; 0: unlimited.
    pub connections: usize,
    /// Maximum number of TCP connections without a request; 0: unlimited.
    pub idle_connections: usize,
    /// Accepts TLS; `None`: connections come without.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Memory budget that requests and responses in flight reserve from.
    pub memory: Arc<Pool>,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
}

impl ServerConfig {
    /// Whether connections of this peer have to begin with a header of the PROXY protocol. Others must not: anybody could write one.
    pub(super) fn is_proxy_protocol_of(&self, peer: IpAddr) -> bool {
        self.proxy_protocol && is_trusted_proxy(&self.peers.trusted_proxies, &peer.to_canonical())
    }
}
