//! Several certificates: which of them a client is shown.

use std::sync::Arc;

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::certificate::Certificate;

/// Certificates in the order of the configuration.
#[derive(Debug)]
pub(super) struct Certificates(pub(super) Vec<Certificate>);

impl Certificates {
    /// The first that has the host name that a client asks for, or else the first.
    fn for_name(&self, name: Option<&str>) -> Option<&Certificate> {
        let name = name.map(str::to_ascii_lowercase);
        let named = name.and_then(|name| self.0.iter().find(|it| it.is_for(&name)));
        named.or(self.0.first())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.for_name(hello.server_name())?;
        Some(shown.key.clone())
    }
}

#[cfg(test)]
mod tests;
