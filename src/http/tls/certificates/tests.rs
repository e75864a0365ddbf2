//! Which certificate a client is shown.

use rcgen::{CertifiedKey as Made, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;

use super::*;

fn certificate(label: &str, names: &[&str]) -> Certificate {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let Made { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    Certificate::new(vec![cert.der().clone()], key, label.to_owned()).unwrap()
}

#[test]
fn a_client_is_shown_the_first_certificate_for_its_name_or_else_the_first() {
    let certificates = Certificates(vec![
        certificate("one", &["one.example"]),
        certificate("wild", &["*.two.example"]),
        certificate("exact", &["a.two.example", "one.example"]),
    ]);
    for (name, shown) in [
        (Some("one.example"), "one"),
        (Some("ONE.example"), "one"),
        (Some("a.two.example"), "wild"),
        (Some("two.example"), "one"),
        (Some("elsewhere.example"), "one"),
        (None, "one"),
    ] {
        assert_eq!(
            certificates.for_name(name).unwrap().label,
            shown,
            "{name:?}"
        );
    }
}
