//! What is found at each look.

use std::{fs, path::Path};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Writes a certificate that ends so long after `now`.
fn write(folder: &Path, now: Timestamp, end: Duration) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let time = |at: Timestamp| std::time::UNIX_EPOCH + Duration::from_millis(at.0);
    params.not_before = time(now.before(100 * DAY)).into();
    params.not_after = time(now.plus(end)).into();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

fn source(folder: &TempDir) -> CertificateSource {
    let settings = TlsSettings {
        cert: vec![folder.path().join("cert.pem")],
        key: vec![folder.path().join("key.pem")],
        self_signed: false,
    };
    CertificateSource::new(&settings, HERE)
}

#[test]
fn files_that_have_not_changed_are_no_other_certificates() {
    let (folder, now) = (tempfile::tempdir().unwrap(), Timestamp::now());
    write(folder.path(), now, DAY);
    let mut source = source(&folder);
    assert!(source.load(now).unwrap().is_some());
    assert!(source.load(now).unwrap().is_none());
    write(folder.path(), now, 2 * DAY);
    assert!(source.load(now).unwrap().is_some());
    let left = now.until(source.not_after().unwrap());
    assert!(left > DAY && left <= 2 * DAY, "{left:?}");
}

#[test]
fn bad_files_are_an_error_until_they_are_mended() {
    let (folder, now) = (tempfile::tempdir().unwrap(), Timestamp::now());
    write(folder.path(), now, DAY);
    let good = fs::read(folder.path().join("key.pem")).unwrap();
    let mut source = source(&folder);
    assert!(source.load(now).unwrap().is_some());
    fs::write(folder.path().join("key.pem"), "half").unwrap();
    assert!(source.load(now).is_err());
    assert!(source.load(now).is_err());
    fs::write(folder.path().join("key.pem"), good).unwrap();
    assert!(source.load(now).unwrap().is_none());
    write(folder.path(), now, DAY);
    assert!(source.load(now).unwrap().is_some());
}

#[test]
fn an_expired_certificate_is_better_than_none_and_not_than_another() {
    let (folder, now) = (tempfile::tempdir().unwrap(), Timestamp::now());
    write(folder.path(), now.before(2 * DAY), DAY);
    let mut first = source(&folder);
    assert!(first.load(now).unwrap().is_some());
    write(folder.path(), now, DAY);
    assert!(first.load(now).unwrap().is_some());
    write(folder.path(), now.before(2 * DAY), DAY);
    let refused = first.load(now).unwrap_err();
    assert!(matches!(refused, CertificateError::Expired(_)));
}

#[test]
fn a_certificate_that_has_expired_does_not_keep_another_from_being_renewed() {
    let now = Timestamp::now();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let files = |name: &str| folders.iter().map(|it| it.path().join(name)).collect();
    let settings = TlsSettings {
        cert: files("cert.pem"),
        key: files("key.pem"),
        self_signed: false,
    };
    let mut source = CertificateSource::new(&settings, HERE);
    write(folders[0].path(), now.before(2 * DAY), DAY);
    write(folders[1].path(), now, DAY);
    assert!(source.load(now).unwrap().is_some());
    write(folders[1].path(), now, 2 * DAY);
    assert!(source.load(now).unwrap().is_some());
}

#[test]
fn a_self_signed_certificate_is_made_again_before_it_expires() {
    let settings = TlsSettings {
        self_signed: true,
        ..TlsSettings::default()
    };
    let now = Timestamp::now();
    let mut source = CertificateSource::new(&settings, HERE);
    let made = source.load(now).unwrap().unwrap();
    assert_eq!(made[0].names, ["localhost"]);
    assert!(source.load(now.plus(11 * DAY)).unwrap().is_none());
    assert!(source.load(now.plus(12 * DAY)).unwrap().is_some());
    assert!(source.load(now.plus(13 * DAY)).unwrap().is_none());
}
