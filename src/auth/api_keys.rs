//! API keys of back ends; a key grants full access.
//!
//! Only digests are stored, so that neither a memory dump nor a bug that prints them leaks a key.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, SHA256_OUTPUT_LEN, digest},
};

/// The minimum length of a key, in characters.
pub const MIN_API_KEY_CHARS: usize = 20;

/// The prefix of an entry that is the digest of a key.
const DIGEST_PREFIX: &str = "sha256:";

type Digest = [u8; SHA256_OUTPUT_LEN];

/// The API keys of a server.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<Digest>);

impl ApiKeys {
    /// Parses keys as they are configured: in plain text, or as `sha256:` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// What is wrong with which key, without quoting it.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let entries = entries.into_iter().zip(1..);
        entries
            .map(|(entry, number)| {
                digest_of(entry).map_err(|what| format!("key number {number} {what}"))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether `presented` is one of the keys. Takes constant time for texts of one length.
    pub fn contains(&self, presented: &str) -> bool {
        let presented = digest(&SHA256, presented.as_bytes());
        self.0.iter().fold(false, |found, key| {
            found | verify_slices_are_equal(key, presented.as_ref()).is_ok()
        })
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Prints the number of keys only.
impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

fn digest_of(entry: &str) -> Result<Digest, &'static str> {
    if let Some(digits) = entry.strip_prefix(DIGEST_PREFIX) {
        return from_hex(digits)
            .ok_or("is not a digest: expected sha256: and 64 hexadecimal digits");
    }
    if entry.chars().count() < MIN_API_KEY_CHARS {
        return Err("is too short: expected at least 20 characters, as from openssl rand -hex 32");
    }
    if !entry.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "has characters that a header cannot carry: expected printable ASCII without spaces",
        );
    }
    let mut stored = Digest::default();
    stored.copy_from_slice(digest(&SHA256, entry.as_bytes()).as_ref());
    Ok(stored)
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
