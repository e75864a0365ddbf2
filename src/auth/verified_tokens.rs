//! Tokens whose signature has been verified with a key: verifying it again with the same key has the same result, and takes a
//! public-key operation each time.
//!
//! Only valid signatures are remembered, so nobody without a valid token can fill the memory. Claims are not: the time decides
//! about them, too.

use std::{
    collections::HashSet,
    fmt, mem,
    sync::{Mutex, MutexGuard},
};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

use crate::sync::lock;

/// How many parts have locks of their own, so that connects on many cores do not wait for one lock.
const SHARDS: usize = 16;
/// How many tokens a shard remembers before the oldest half is forgotten: a megabyte for each key at most.
const MAX_TOKENS: usize = 1024;

/// A digest of a token with its signature.
type Digest = [u8; SHA256_OUTPUT_LEN];

/// The tokens of one key.
#[derive(Default)]
pub(super) struct VerifiedTokens {
    // Std mutexes: they are held for a lookup and never across an await.
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    recent: HashSet<Digest>,
    older: HashSet<Digest>,
}

impl VerifiedTokens {
    /// Whether the signature is valid: as remembered, otherwise as `verify` says.
    pub(super) fn check(
        &self,
        message: &str,
        signature: &str,
        verify: impl FnOnce() -> bool,
    ) -> bool {
        let digest = digest(message, signature);
        if self.shard(&digest).contains(&digest) {
            return true;
        }
        let valid = verify();
        if valid {
            self.shard(&digest).insert(digest);
        }
        valid
    }

    fn shard(&self, digest: &Digest) -> MutexGuard<'_, Shard> {
        lock(&self.shards[usize::from(digest[0]) % SHARDS])
    }
}

impl Shard {
    fn contains(&mut self, digest: &Digest) -> bool {
        if self.recent.contains(digest) {
            return true;
        }
        // A token that is in use is not forgotten.
        let found = self.older.remove(digest);
        if found {
            self.insert(*digest);
        }
        found
    }

    fn insert(&mut self, digest: Digest) {
        if self.recent.len() >= MAX_TOKENS / 2 {
            self.older = mem::take(&mut self.recent);
        }
        self.recent.insert(digest);
    }
}

fn digest(message: &str, signature: &str) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in [message, ".", signature] {
        context.update(part.as_bytes());
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Prints no digest.
impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedTokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
