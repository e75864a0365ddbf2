//! Keys of back ends: whoever shows one may do everything.
//!
//! Kept as digests, so that neither a dump of memory nor a bug that prints them gives a key away.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, SHA256_OUTPUT_LEN, digest},
};

/// Fewest characters of a key.
pub const MIN_API_KEY_CHARS: usize = 20;

/// What stands before the digest of a key in place of the key.
const DIGEST: &str = "sha256:";

type Digest = [u8; SHA256_OUTPUT_LEN];

/// The keys of a server.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<Digest>);

impl ApiKeys {
    /// Keys as they are configured: in plain text, or as `sha256:` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// What is wrong with which of them, without saying it.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let entries = entries.into_iter().zip(1..);
        entries
            .map(|(entry, number)| {
                digest_of(entry).map_err(|what| format!("key number {number} {what}"))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether what was presented is one of the keys. It takes as long for one as for any other text of its length.
    pub fn contains(&self, presented: &str) -> bool {
        let presented = digest(&SHA256, presented.as_bytes());
        self.0.iter().fold(false, |found, key| {
            found | verify_slices_are_equal(key, presented.as_ref()).is_ok()
        })
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Says how many there are.
impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

fn digest_of(entry: &str) -> Result<Digest, &'static str> {
    if let Some(digits) = entry.strip_prefix(DIGEST) {
        return from_hex(digits)
            .ok_or("is no digest: sha256: and 64 hexadecimal digits are expected");
    }
    if entry.chars().count() < MIN_API_KEY_CHARS {
        return Err(
            "is too short: at least 20 characters are expected, as from openssl rand -hex 32",
        );
    }
    if !entry.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "has characters that cannot travel in a header: letters, digits and signs of ASCII are expected",
        );
    }
    let mut kept = Digest::default();
    kept.copy_from_slice(digest(&SHA256, entry.as_bytes()).as_ref());
    Ok(kept)
}

fn from_hex(digits: &str) -> Option<Digest> {
    let mut bytes = Digest::default();
    if digits.len() != 2 * bytes.len() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
