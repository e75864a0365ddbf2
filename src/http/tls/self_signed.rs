//! A certificate of the server's own making, to try TLS without one.

use std::{
    net::IpAddr,
    time::{Duration, UNIX_EPOCH},
};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::PrivateKeyDer;

use super::{CertificateError, certificate::Certificate};
use crate::model::Timestamp;

/// How long it is valid: browsers take a WebTransport server by the hash of its certificate if that is valid for at most two weeks.
const VALIDITY: Duration = Duration::from_secs(13 * 24 * 3600);

/// A clock that is a little behind takes it, too.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// Makes a certificate for this machine, and for the address that is listened on.
pub(super) fn make(listen: IpAddr, now: Timestamp) -> Result<Certificate, CertificateError> {
    let failed = |error: rcgen::Error| CertificateError::SelfSigned(error.to_string());
    let mut names = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    if !listen.is_unspecified() && !listen.is_loopback() {
        names.push(listen.to_string());
    }
    let mut params = CertificateParams::new(names).map_err(failed)?;
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "Switchboard, self-signed");
    let now = UNIX_EPOCH + Duration::from_millis(now.0);
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now - CLOCK_SKEW + VALIDITY).into();
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|error| CertificateError::SelfSigned(error.to_owned()))?;
    let made = Certificate::new(
        vec![certificate.der().clone()],
        key,
        "self-signed".to_owned(),
    );
    made.map_err(|error| CertificateError::SelfSigned(format!("{error:?}")))
}
