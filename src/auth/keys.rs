//! Keys that verify signatures, each bound to one algorithm.
//!
//! The binding prevents algorithm confusion: the `alg` of a token selects among keys, never how a key is used. Knows nothing
//! of claims or of where keys come from.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose as base64_engine};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, crypto,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};

use super::verified_tokens::VerifiedTokens;

/// The minimum length of an HS256 secret, in bytes: the length of the hash (RFC 7518, section 3.2).
pub const MIN_SECRET_BYTES: usize = 32;
/// The supported sizes of RSA moduli, in bits (at least 2048: RFC 7518, section 3.3).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// The DER of the object identifier of P-256, 1.2.840.10045.3.1.7.
const P256_OID: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Why a key is unusable.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the secret has {0} bytes; HS256 needs at least {MIN_SECRET_BYTES} random ones")]
    ShortSecret(usize),
    #[error("there is no PEM block (-----BEGIN PUBLIC KEY-----)")]
    NoPem,
    #[error("a PEM block has no end (-----END {0}-----)")]
    UnendedPem(String),
    #[error("a PEM block holds a {0}; expected a PUBLIC KEY")]
    OtherPem(String),
    #[error("it is malformed")]
    Malformed,
    #[error("its type is not supported: expected RSA, EC P-256 or Ed25519")]
    UnsupportedKind,
    #[error("it is a symmetric key, which does not belong in a public key set")]
    Symmetric,
    #[error("its modulus has {0} bits; RS256 supports 2048 to 8192")]
    RsaSize(usize),
    #[error("it is not meant for verifying signatures")]
    OtherUse,
    #[error("it is meant for another algorithm than {0:?}")]
    OtherAlgorithm(Algorithm),
}

/// A key with its algorithm, and its id in a key set.
#[derive(Clone, Debug)]
pub(super) struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    verifier: DecodingKey,
    /// Of a public key; a shared secret verifies a token in the time of a lookup.
    verified: Option<Arc<VerifiedTokens>>,
}

impl Key {
    /// A shared secret, for HS256.
    pub(super) fn from_secret(secret: &str) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(KeyError::ShortSecret(secret.len()));
        }
        Ok(Self {
            kid: None,
            algorithm: Algorithm::HS256,
            verifier: DecodingKey::from_secret(secret.as_bytes()),
            verified: None,
        })
    }

    /// Parses every public key in a text of PEM blocks; the type of each is detected.
    pub(super) fn all_from_pem(text: &str) -> Result<Vec<Self>, KeyError> {
        // Environment variables and one-line settings often contain escaped line breaks.
        let text = text.replace("\\n", "\n");
        let blocks = pem_blocks(&text)?;
        if blocks.is_empty() {
            return Err(KeyError::NoPem);
        }
        blocks.into_iter().map(Self::from_pem).collect()
    }

    fn from_pem(block: &str) -> Result<Self, KeyError> {
        let pem = block.as_bytes();
        let verifier = DecodingKey::from_rsa_pem(pem)
            .or_else(|_| DecodingKey::from_ec_pem(pem))
            .or_else(|_| DecodingKey::from_ed_pem(pem))
            .map_err(|_| KeyError::UnsupportedKind)?;
        let jwk = Jwk::from_decoding_key(&verifier, None).map_err(|_| KeyError::UnsupportedKind)?;
        let algorithm = algorithm_for(&jwk.algorithm)?;
        // The curve was guessed from the size, and P-256 is not the only one of this size.
        if algorithm == Algorithm::ES256 && !der(block).windows(10).any(|part| part == P256_OID) {
            return Err(KeyError::UnsupportedKind);
        }
        Ok(Self {
            kid: None,
            algorithm,
            verifier,
            verified: Some(Arc::default()),
        })
    }

    /// A public key of a key set.
    pub(super) fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        let algorithm = algorithm_for(&jwk.algorithm)?;
        let common = &jwk.common;
        let is_for_signatures = common
            .public_key_use
            .as_ref()
            .is_none_or(|usage| *usage == PublicKeyUse::Signature)
            && common
                .key_operations
                .as_ref()
                .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !is_for_signatures {
            return Err(KeyError::OtherUse);
        }
        // Ed25519 keys have one use; providers write it EdDSA or, since RFC 9864, Ed25519.
        if algorithm != Algorithm::EdDSA
            && common
                .key_algorithm
                .is_some_and(|declared| declared != KeyAlgorithm::from(algorithm))
        {
            return Err(KeyError::OtherAlgorithm(algorithm));
        }
        Ok(Self {
            kid: common.key_id.clone(),
            algorithm,
            verifier: DecodingKey::from_jwk(jwk).map_err(|_| KeyError::Malformed)?,
            verified: Some(Arc::default()),
        })
    }

    /// Whether a token of this algorithm and key id may have been signed with this key.
    ///
    /// A key or token without an id matches any.
    pub(super) fn fits(&self, algorithm: Algorithm, kid: Option<&str>) -> bool {
        self.algorithm == algorithm
            && match (&self.kid, kid) {
                (Some(own), Some(requested)) => own == requested,
                _ => true,
            }
    }

    /// Whether the key has this id.
    pub(super) fn has_id(&self, kid: &str) -> bool {
        self.kid.as_deref() == Some(kid)
    }

    /// Whether `signature`, in base64url, is this key's for `message`.
    pub(super) fn verifies(&self, message: &str, signature: &str) -> bool {
        let (bytes, verifier) = (message.as_bytes(), &self.verifier);
        let verify = || crypto::verify(signature, bytes, verifier, self.algorithm).unwrap_or(false);
        match &self.verified {
            Some(verified) => verified.check(message, signature, verify),
            None => verify(),
        }
    }

    /// Whether both are the same key with the same id.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        use DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
        self.kid == other.kid
            && self.algorithm == other.algorithm
            && match (self.verifier.kind(), other.verifier.kind()) {
                (SecretOrDer(a), SecretOrDer(b)) => a == b,
                (RsaModulusExponent { n, e }, RsaModulusExponent { n: m, e: f }) => {
                    n == m && e == f
                }
                _ => false,
            }
    }
}

/// The algorithm that a key with these parameters is used with.
fn algorithm_for(parameters: &AlgorithmParameters) -> Result<Algorithm, KeyError> {
    match parameters {
        AlgorithmParameters::RSA(rsa) => {
            let modulus = component(&rsa.n)?;
            let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
            let bits = modulus.get(zeros).map_or(0, |first| {
                (modulus.len() - zeros) * 8 - first.leading_zeros() as usize
            });
            if !RSA_BITS.contains(&bits) {
                return Err(KeyError::RsaSize(bits));
            }
            Ok(Algorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            let has_valid_size = component(&ec.x)?.len() == 32 && component(&ec.y)?.len() == 32;
            has_valid_size
                .then_some(Algorithm::ES256)
                .ok_or(KeyError::Malformed)
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            let has_valid_size = component(&okp.x)?.len() == 32;
            has_valid_size
                .then_some(Algorithm::EdDSA)
                .ok_or(KeyError::Malformed)
        }
        AlgorithmParameters::OctetKey(_) => Err(KeyError::Symmetric),
        _ => Err(KeyError::UnsupportedKind),
    }
}

fn component(text: &str) -> Result<Vec<u8>, KeyError> {
    base64_engine::URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| KeyError::Malformed)
}

/// Splits a text into PEM blocks, all of which must be public keys.
fn pem_blocks(text: &str) -> Result<Vec<&str>, KeyError> {
    const BEGIN: &str = "-----BEGIN ";
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        rest = &rest[at..];
        let (label, _) = rest[BEGIN.len()..]
            .split_once("-----")
            .ok_or(KeyError::Malformed)?;
        // Rejects certificates, whose first key need not be their own, and private keys, which this server should not
        // hold.
        if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
            return Err(KeyError::OtherPem(label.chars().take(64).collect()));
        }
        let end = format!("-----END {label}-----");
        let at = rest
            .find(&end)
            .ok_or_else(|| KeyError::UnendedPem(label.to_owned()))?;
        let (block, after) = rest.split_at(at + end.len());
        blocks.push(block);
        rest = after;
    }
    Ok(blocks)
}

fn der(block: &str) -> Vec<u8> {
    let body: String = block
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .map(str::trim)
        .collect();
    base64_engine::STANDARD.decode(body).unwrap_or_default()
}

#[cfg(test)]
mod tests;
