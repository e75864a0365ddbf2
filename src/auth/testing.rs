//! Fresh keys of every kind and tokens signed with them, for the tests of this folder.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

/// A key pair, or a secret, and how tokens are signed with it.
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    pub(super) public_pem: String,
    key: EncodingKey,
}

impl Signer {
    pub(super) fn rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        Self {
            algorithm: Algorithm::RS256,
            public_pem: pem("PUBLIC KEY", public.as_ref()),
            key: EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes())
                .unwrap(),
        }
    }

    pub(super) fn ec() -> Self {
        let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let private = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(curve, private.as_ref()).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self {
            algorithm: Algorithm::ES256,
            public_pem: pem("PUBLIC KEY", public.as_ref()),
            key: EncodingKey::from_ec_der(private.as_ref()),
        }
    }

    pub(super) fn ed() -> Self {
        let private = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self {
            algorithm: Algorithm::EdDSA,
            public_pem: pem("PUBLIC KEY", public.as_ref()),
            key: EncodingKey::from_ed_der(private.as_ref()),
        }
    }

    pub(super) fn secret(secret: &str) -> Self {
        Self {
            algorithm: Algorithm::HS256,
            public_pem: String::new(),
            key: EncodingKey::from_secret(secret.as_bytes()),
        }
    }

    /// The public half as a member of a key set.
    pub(super) fn jwk(&self, kid: &str) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        jwk
    }

    /// A token for `user`.
    pub(super) fn token(&self, kid: Option<&str>, user: &str) -> String {
        self.sign(kid, &json!({ "sub": user }))
    }

    pub(super) fn sign(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// A key set of these public keys, each under its id.
pub(super) fn key_set(keys: &[(&str, &Signer)]) -> String {
    let keys: Vec<_> = keys.iter().map(|(kid, signer)| signer.jwk(kid)).collect();
    json!({ "keys": keys }).to_string()
}

/// DER as a PEM block.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
