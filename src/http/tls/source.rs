//! Where the certificates come from: files, or the server's own making.

use std::{net::IpAddr, time::Duration};

use super::{
    CertificateError, TlsSettings,
    certificate::{Certificate, CertificateFiles, CertificatePem},
    self_signed,
};
use crate::model::Timestamp;

/// A self-signed certificate is replaced when it has no more left than this.
const SELF_SIGNED_RENEWAL: Duration = Duration::from_secs(24 * 3600);

/// Where the certificates come from, and what was last found there.
pub(super) struct CertificateSource {
    settings: TlsSettings,
    /// The address that is listened on, which a self-signed certificate names.
    listen: IpAddr,
    found: Option<Found>,
}

struct Found {
    /// What was in the files.
    pems: Vec<CertificatePem>,
    /// When the first certificate expires.
    not_after: Timestamp,
}

impl CertificateSource {
    pub(super) fn new(settings: &TlsSettings, listen: IpAddr) -> Self {
        Self {
            settings: settings.clone(),
            listen,
            found: None,
        }
    }

    /// When the first of the certificates that were found expires.
    pub(super) fn not_after(&self) -> Option<Timestamp> {
        self.found.as_ref().map(|found| found.not_after)
    }

    /// Whether the server makes them, and so replaces them in time.
    pub(super) fn is_self_signed(&self) -> bool {
        self.settings.self_signed
    }

    /// Forgets what was found, so that it is found again.
    pub(super) fn forget(&mut self) {
        self.found = None;
    }

    /// Returns the certificates if they are others than before.
    ///
    /// # Errors
    /// One cannot be used. One that has expired is better than none, and not better than the one that was found in its place before.
    pub(super) fn load(
        &mut self,
        now: Timestamp,
    ) -> Result<Option<Vec<Certificate>>, CertificateError> {
        let (pems, certificates) = match self.settings.self_signed {
            true => {
                let is_fresh = |end| now.until(end) > SELF_SIGNED_RENEWAL;
                if self.not_after().is_some_and(is_fresh) {
                    return Ok(None);
                }
                (Vec::new(), vec![self_signed::make(self.listen, now)?])
            }
            false => {
                let files = self.settings.files()?;
                let pems = files.iter().map(CertificateFiles::read);
                let pems = pems.collect::<Result<Vec<_>, _>>()?;
                if self.found.as_ref().is_some_and(|found| found.pems == pems) {
                    return Ok(None);
                }
                let parsed = files.iter().zip(&pems).map(|(files, pem)| files.parse(pem));
                let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
                (pems, parsed)
            }
        };
        let ends = certificates.iter().map(|it| it.not_after);
        let not_after = ends.min().unwrap_or(now);
        if let Some(found) = &self.found {
            let mut changed = certificates.iter().enumerate();
            let expired = changed
                .find(|(nth, it)| it.not_after < now && found.pems.get(*nth) != pems.get(*nth));
            if let Some((_, expired)) = expired {
                return Err(CertificateError::Expired(expired.label.clone().into()));
            }
        }
        self.found = Some(Found { pems, not_after });
        Ok(Some(certificates))
    }
}

#[cfg(test)]
mod tests;
