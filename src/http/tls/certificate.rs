//! One certificate with its key: read from PEM, checked, and asked for its names and its end.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use crate::{model::Timestamp, options::Problem};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// The numbers of certificates and keys differ.
    #[error(
        "{certificates} certificates and {keys} keys are given: set one key for each certificate, in the same order"
    )]
    Pairs {
        /// Certificates that are given.
        certificates: usize,
        /// Keys that are given.
        keys: usize,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file has no certificate, or one that cannot be parsed.
    #[error(
        "{} has no certificate: a PEM file with -----BEGIN CERTIFICATE----- is expected",
        .0.display()
    )]
    NoCertificate(PathBuf),
    /// A file has no private key, or one that cannot be parsed.
    #[error(
        "{} has no private key: a PEM file with -----BEGIN PRIVATE KEY-----, not encrypted, is expected",
        .0.display()
    )]
    NoKey(PathBuf),
    /// A key is of a kind that is not supported, or not that of its certificate.
    #[error("the key in {} is not for the certificate in {}: {source}", key.display(), cert.display())]
    WrongKey {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// A certificate that would replace another has expired.
    #[error("the certificate in {} has expired", .0.display())]
    Expired(PathBuf),
    /// The server cannot make a certificate of its own.
    #[error("cannot make a self-signed certificate: {0}")]
    SelfSigned(String),
    /// The provider of cryptography of this process cannot be used for TLS.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl From<CertificateError> for Problem {
    fn from(error: CertificateError) -> Self {
        Self::rule(&["tls.cert", "tls.key"], error.to_string())
    }
}

/// A certificate, its chain and its key.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// What logs and metrics call it: its file, or `self-signed`.
    pub(super) label: String,
    /// Host names in lower case; one may begin with `*.`.
    pub(super) names: Vec<String>,
    pub(super) not_after: Timestamp,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateFiles {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// What is in the files of a certificate.
#[derive(PartialEq, Eq)]
pub(super) struct CertificatePem {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl CertificateFiles {
    /// Reads and checks the certificate.
    pub(super) fn load(&self) -> Result<Certificate, CertificateError> {
        self.parse(&self.read()?)
    }

    pub(super) fn read(&self) -> Result<CertificatePem, CertificateError> {
        Ok(CertificatePem {
            cert: read(&self.cert)?,
            key: read(&self.key)?,
        })
    }

    pub(super) fn parse(&self, pem: &CertificatePem) -> Result<Certificate, CertificateError> {
        let no_certificate = || CertificateError::NoCertificate(self.cert.clone());
        let chain = CertificateDer::pem_slice_iter(&pem.cert).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| no_certificate())?;
        if chain.is_empty() {
            return Err(no_certificate());
        }
        let key = PrivateKeyDer::from_pem_slice(&pem.key)
            .map_err(|_| CertificateError::NoKey(self.key.clone()))?;
        Certificate::new(chain, key, self.cert.display().to_string()).map_err(|problem| {
            match problem {
                Unusable::Certificate => no_certificate(),
                Unusable::Key(source) => CertificateError::WrongKey {
                    cert: self.cert.clone(),
                    key: self.key.clone(),
                    source,
                },
            }
        })
    }
}

/// Which part of a pair cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    Certificate,
    Key(rustls::Error),
}

impl Certificate {
    /// Checks that the key is that of the first certificate of the chain.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        label: String,
    ) -> Result<Self, Unusable> {
        let own = chain.first().ok_or(Unusable::Certificate)?;
        let (_, own) = X509Certificate::from_der(own).map_err(|_| Unusable::Certificate)?;
        let names = names_of(&own);
        let not_after = own.validity().not_after.timestamp();
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(Unusable::Key)?;
        Ok(Self {
            key: Arc::new(key),
            label,
            names,
            not_after: Timestamp(u64::try_from(not_after).unwrap_or(0).saturating_mul(1000)),
        })
    }

    /// Whether it is for a host name, which is in lower case. `*.` stands for one label (RFC 6125, 6.4.3).
    pub(super) fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| {
            pattern == name
                || pattern.strip_prefix("*.").is_some_and(|parent| {
                    name.split_once('.').is_some_and(|(_, rest)| rest == parent)
                })
        })
    }
}

/// The provider of cryptography that the process has, or ours.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let installed = CryptoProvider::get_default().cloned();
    installed.unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|it| &it.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(file).map_err(|source| CertificateError::Read {
        file: file.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
