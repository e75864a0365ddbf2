//! The process-wide provider of cryptography for TLS.

use rustls::crypto::{self, CryptoProvider};

/// Installs the provider that this crate is built with, unless the application has installed one.
///
/// rustls chooses by itself only as long as the whole program is built with a single provider. Once another crate of the
/// application's brings a second one, connecting to Redis over TLS would panic.
pub(crate) fn install_default_provider() {
    if CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster.
        let _ = crypto::aws_lc_rs::default_provider().install_default();
    }
}
