//! Certificates from PEM, good and bad.

use rcgen::{CertifiedKey as Made, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;

struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, content).unwrap();
        file
    }

    fn pair(&self, cert: &str, key: &str) -> CertificateFiles {
        CertificateFiles {
            cert: self.write("cert.pem", cert),
            key: self.write("key.pem", key),
        }
    }
}

/// The PEM of a certificate for these names, and of its key.
fn pem(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let Made { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn problem(files: &CertificateFiles) -> String {
    let problem = files.load().unwrap_err().to_string();
    let folder = files.cert.parent().unwrap().display();
    problem.replace(&format!("{folder}/"), "")
}

#[test]
fn a_certificate_says_its_names_and_its_end() {
    let files = Files::new();
    let (cert, key) = pem(&["Example.org", "*.example.org", "127.0.0.1"]);
    let loaded = files.pair(&cert, &key).load().unwrap();
    assert_eq!(loaded.names, ["example.org", "*.example.org"]);
    assert!(loaded.not_after > Timestamp::now());
    for (name, is_for) in [
        ("example.org", true),
        ("a.example.org", true),
        ("a.b.example.org", false),
        ("example.com", false),
        ("org", false),
    ] {
        assert_eq!(loaded.is_for(name), is_for, "{name}");
    }
}

#[test]
fn one_file_may_have_the_certificate_and_its_key() {
    let files = Files::new();
    let (cert, key) = pem(&["example.org"]);
    let both = format!("{key}{cert}");
    files.pair(&both, &both).load().unwrap();
}

#[test]
fn what_cannot_be_used_is_named() {
    let files = Files::new();
    let ((cert, key), (_, other)) = (pem(&["a"]), pem(&["b"]));
    assert_eq!(
        problem(&files.pair("", &key)),
        "cert.pem has no certificate: a PEM file with -----BEGIN CERTIFICATE----- is expected"
    );
    let garbage = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    assert!(problem(&files.pair(garbage, &key)).starts_with("cert.pem has no certificate"));
    assert!(problem(&files.pair("-----BEGIN CERT", &key)).starts_with("cert.pem has no"));
    assert!(problem(&files.pair(&cert, &cert)).starts_with("key.pem has no private key"));
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    assert!(problem(&files.pair(&cert, &encrypted)).starts_with("key.pem has no private key"));
    assert_eq!(
        problem(&files.pair(&cert, &other)),
        "the key in key.pem is not for the certificate in cert.pem: keys may not be consistent: KeyMismatch"
    );
    let missing = CertificateFiles {
        cert: files.folder.path().join("missing.pem"),
        key: files.write("key.pem", &key),
    };
    assert!(problem(&missing).starts_with("cannot read missing.pem: No such file"));
}
