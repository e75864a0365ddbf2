//! Parsing PEM, secrets and JWKs.

use super::{
    super::testing::{Signer, pem},
    *,
};

fn algorithms(pem: &str) -> Vec<Algorithm> {
    let keys = Key::all_from_pem(pem).unwrap();
    keys.iter().map(|key| key.algorithm).collect()
}

#[test]
fn the_algorithm_of_each_pem_block_is_detected_from_the_key() {
    let (rsa, ec, ed) = (Signer::rsa(), Signer::ec(), Signer::ed());
    assert_eq!(algorithms(&rsa.public_pem), [Algorithm::RS256]);
    // The older form, PKCS #1, is what the newer wraps in 24 bytes of header.
    let pkcs1 = pem("RSA PUBLIC KEY", &der(&rsa.public_pem)[24..]);
    assert_eq!(algorithms(&pkcs1), [Algorithm::RS256]);
    let all = format!(
        "# ours\n{}\n{}{}",
        ec.public_pem, ed.public_pem, rsa.public_pem
    );
    let expected = [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256];
    assert_eq!(algorithms(&all), expected);
    assert_eq!(algorithms(&all.replace('\n', "\\n")), expected);
    assert_eq!(algorithms(&all.replace('\n', "\r\n")), expected);
}

#[test]
fn a_pem_block_that_is_not_a_supported_public_key_is_rejected() {
    let ec = Signer::ec().public_pem;
    let secp256k1 = "-----BEGIN PUBLIC KEY-----\n\
            MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEsdifcaP3emq7XZNIUyIGrsrjKYZRXScA\n\
            adrP4Y2yAcraPnrpMILbDtB2SSUnTBZpybFKOC4/IKD9TmrDE0KLgA==\n\
            -----END PUBLIC KEY-----\n";
    for (text, expected) in [
        ("", "no PEM block"),
        (&ec[..ec.len() - 10], "has no end"),
        (&ec.replace("PUBLIC", "PRIVATE"), "holds a PRIVATE KEY"),
        (
            &ec.replace("PUBLIC KEY", "CERTIFICATE"),
            "holds a CERTIFICATE",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "expected RSA",
        ),
        (secp256k1, "expected RSA"),
    ] {
        let error = Key::all_from_pem(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_secret_shorter_than_its_hash_is_rejected() {
    assert!(Key::from_secret(&"s".repeat(32)).is_ok());
    let error = Key::from_secret(&"s".repeat(31)).unwrap_err();
    assert!(matches!(error, KeyError::ShortSecret(31)), "{error}");
}

#[test]
fn a_jwk_for_another_use_is_rejected() {
    let jwk = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = serde_json::to_value(Signer::rsa().jwk("k")).unwrap();
        change(&mut value);
        Key::from_jwk(&serde_json::from_value(value).unwrap()).map(|key| key.algorithm)
    };
    assert!(matches!(jwk(&|_| {}), Ok(Algorithm::RS256)));
    assert!(jwk(&|key| key["use"] = "sig".into()).is_ok());
    assert!(matches!(
        jwk(&|key| key["use"] = "enc".into()),
        Err(KeyError::OtherUse)
    ));
    assert!(matches!(
        jwk(&|key| key["key_ops"] = serde_json::json!(["encrypt"])),
        Err(KeyError::OtherUse)
    ));
    assert!(matches!(
        jwk(&|key| key["alg"] = "PS256".into()),
        Err(KeyError::OtherAlgorithm(_))
    ));
    assert!(matches!(
        jwk(&|key| key["n"] = "AQAB".into()),
        Err(KeyError::RsaSize(17))
    ));
    assert!(matches!(
        jwk(&|key| key["n"] = "!".into()),
        Err(KeyError::Malformed)
    ));
    assert!(matches!(
        jwk(&|key| *key = serde_json::json!({"kty": "oct", "k": "AAAA"})),
        Err(KeyError::Symmetric)
    ));
    assert!(matches!(
        jwk(&|key| *key = serde_json::json!({"kty": "EC", "crv": "P-384", "x": "", "y": ""})),
        Err(KeyError::UnsupportedKind)
    ));
}
