//! HTTP as the transports and the REST API use it: accepting connections, reading requests, and the shape of errors.
//!
//! Knows no transport and no room. Everything that one request or one connection can make the server hold is bounded here, in
//! number, bytes and time.

mod abort;
pub mod body;
pub(crate) mod buffered_body;
mod client_address;
mod connection;
mod error_response;
pub(crate) mod forwarded;
mod host;
mod idle;
pub(crate) mod json;
pub mod origins;
pub mod params;
pub(crate) mod proxy_protocol;
mod request_context;
mod request_memory;
mod response_memory;
mod routes;
mod server;
mod server_config;
mod settings;
mod tls;
mod trace;
pub(crate) mod upgrade;
#[cfg(feature = "webtransport")]
pub(crate) mod webtransport;

pub use abort::ConnectionAbort;
pub use client_address::{ClientAddress, client_address, holder};
pub use error_response::{HttpError, error_response, method_not_allowed, not_found, status_of};
pub use request_context::{PeerRules, with_request_context};
pub use response_memory::StaticBody;
pub(crate) use routes::{Routes, route_all};
pub use server::serve;
pub use server_config::ServerConfig;
pub use settings::{HttpSettings, RouteGroup};
pub use tls::TlsSettings;
pub(crate) use tls::{CertificateReload, TlsAcceptor};
pub use trace::{REQUEST_ID, traced};
