//! Options of TLS.

use std::path::PathBuf;

use super::{CertificateError, certificate::CertificateFiles};
use crate::options::{Problem, section};

section! {
    /// TLS in this process.
    pub struct TlsSettings at "tls" {
        /// Certificate for HTTPS and WSS on `listen`: a PEM file with the server's own first and then its chain. Of several, a client is
        /// shown the first that has the host name that it asks for, or else the first. Read again when a file changes, and on SIGHUP.
        cert: Vec<PathBuf> = "",
        /// The private key of each certificate (PEM), in the same order.
        key: Vec<PathBuf> = "",
        /// Serve TLS with a certificate that the server makes for this machine when it starts: to try it, as no browser trusts it.
        self_signed: bool = "false",
    }
}

impl TlsSettings {
    /// Whether `listen` speaks TLS.
    pub(crate) fn is_on(&self) -> bool {
        self.self_signed || !self.cert.is_empty() || !self.key.is_empty()
    }

    /// The files of the certificates, in order.
    ///
    /// # Errors
    /// There is no key for each certificate.
    pub(super) fn files(&self) -> Result<Vec<CertificateFiles>, CertificateError> {
        if self.cert.len() != self.key.len() {
            return Err(CertificateError::Pairs {
                certificates: self.cert.len(),
                keys: self.key.len(),
            });
        }
        let pairs = self.cert.iter().zip(&self.key);
        Ok(pairs
            .map(|(cert, key)| CertificateFiles {
                cert: cert.clone(),
                key: key.clone(),
            })
            .collect())
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        if self.self_signed && !self.cert.is_empty() {
            problems.push(Problem::rule(
                &["tls.self_signed", "tls.cert"],
                "the server uses either a certificate of its own making or those of tls.cert: remove one of them",
            ));
        }
        if let Err(error) = self.files() {
            problems.push(error.into());
        }
    }

    /// Checks the certificates themselves, which a command that only asks a server does not need.
    ///
    /// # Errors
    /// One cannot be used; says which one and why.
    pub(crate) fn check_files(&self) -> Result<(), CertificateError> {
        let files = self.files()?;
        files.iter().try_for_each(|files| files.load().map(drop))
    }
}
