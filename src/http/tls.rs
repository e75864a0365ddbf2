//! TLS in this process: certificates that are replaced while it runs, and the handshake of a connection.
//!
//! Handshakes under way are idle connections, and bounded as such.

mod acceptor;
mod certificate;
mod certificates;
#[cfg(feature = "webtransport")]
mod quic;
mod reload;
mod self_signed;
mod settings;
mod source;

pub(crate) use acceptor::TlsAcceptor;
pub(super) use acceptor::{TlsConnection, is_http2};
pub(crate) use certificate::CertificateError;
pub(crate) use reload::CertificateReload;
pub use settings::TlsSettings;
