//! Identity in open mode: the user that a client claims to be, or a guest.
//!
//! Must not be reachable if any key is configured; `Authority` ensures that.

use std::sync::Arc;

use rand::RngExt;

use super::{grants::Grants, principal::Principal};
use crate::{error::Result, model::UserId};

const GUEST_ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const GUEST_PREFIX: &str = "guest-";
const GUEST_CHARS: usize = 6;

/// The principal of `user`, or of a new guest.
pub(super) fn principal(user: Option<&str>, grants: Arc<Grants>) -> Result<Principal> {
    let user = match user {
        Some(user) => UserId::parse(user)?,
        None => UserId::parse(&guest_id())?,
    };
    Ok(Principal {
        user,
        name: None,
        info: None,
        grants,
        expires_at: None,
    })
}

/// Whether this is the id of a guest, as generated here.
pub(super) fn is_guest(user: &UserId) -> bool {
    let tail = user.as_str().strip_prefix(GUEST_PREFIX).unwrap_or_default();
    tail.len() == GUEST_CHARS && tail.bytes().all(|byte| GUEST_ALPHABET.contains(&byte))
}

fn guest_id() -> String {
    let mut random = rand::rng();
    let tail = (0..GUEST_CHARS)
        .map(|_| char::from(GUEST_ALPHABET[random.random_range(0..GUEST_ALPHABET.len())]));
    GUEST_PREFIX.chars().chain(tail).collect()
}

#[cfg(test)]
mod tests;
