//! TLS of QUIC, with the same certificates.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};

use super::{CertificateError, TlsAcceptor, certificate::provider};

/// HTTP/3, by ALPN.
const HTTP3: &[u8] = b"h3";

impl TlsAcceptor {
    /// The configuration for QUIC: each connection sees the certificates that are in force when it begins.
    ///
    /// # Errors
    /// The provider of cryptography of this process has no TLS 1.3.
    pub(in crate::http) fn quic_config(&self) -> Result<ServerConfig, CertificateError> {
        let builder = ServerConfig::builder_with_provider(provider());
        let mut config = builder
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(CurrentCertificates(self.clone())));
        config.alpn_protocols = vec![HTTP3.to_vec()];
        // A session that is resumed would not see a new certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

#[derive(Debug)]
struct CurrentCertificates(TlsAcceptor);

impl ResolvesServerCert for CurrentCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.certificates().resolve(hello)
    }
}
