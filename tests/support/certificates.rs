//! Certificates of the test's own, in files that a server reads and a client trusts.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use switchboard::config::Config;
use tempfile::TempDir;

use super::config;

/// Files of certificates that a server reads and a client trusts.
pub struct Certificates(TempDir);

impl Certificates {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a certificate for a host name, in files of that name.
    pub fn make(&self, host: &str) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec![host.to_owned()]).unwrap();
        fs::write(
            self.file(&format!("{host}.key")),
            signing_key.serialize_pem(),
        )
        .unwrap();
        fs::write(self.file(&format!("{host}.pem")), cert.pem()).unwrap();
    }

    /// The configuration of a server with the certificates of these hosts.
    pub fn config(&self, hosts: &[&str]) -> Config {
        let mut config = config();
        let files = |ending: &str| {
            let files = hosts.iter();
            files
                .map(|host| self.file(&format!("{host}.{ending}")))
                .collect()
        };
        config.tls.cert = files("pem");
        config.tls.key = files("key");
        config
    }
}

pub fn certificate(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).unwrap()
}

/// The configuration of a client that trusts this certificate alone, and may speak these protocols.
pub fn client_config(trusted: &Path, alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(trusted)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}
