//! Identity in open mode: whoever somebody says to be, or a guest.
//!
//! Must not be reachable when any key is configured; `Authority` sees to that.

use std::sync::Arc;

use rand::Rng;

use super::{grants::Grants, principal::Principal};
use crate::{error::Result, model::UserId};

const GUEST_ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const GUEST: &str = "guest-";
const GUEST_CHARS: usize = 6;

/// The identity that was asked for, or a guest's.
pub(super) fn principal(user: Option<&str>, grants: Arc<Grants>) -> Result<Principal> {
    let user = match user {
        Some(user) => UserId::parse(user)?,
        None => UserId::parse(&guest())?,
    };
    Ok(Principal {
        user,
        name: None,
        info: None,
        grants,
        expires_at: None,
    })
}

/// Whether this is the id of a guest, as they are made here.
pub(super) fn is_guest(user: &UserId) -> bool {
    let tail = user.as_str().strip_prefix(GUEST).unwrap_or_default();
    tail.len() == GUEST_CHARS && tail.bytes().all(|byte| GUEST_ALPHABET.contains(&byte))
}

fn guest() -> String {
    let mut random = rand::rng();
    let tail = (0..GUEST_CHARS)
        .map(|_| char::from(GUEST_ALPHABET[random.random_range(0..GUEST_ALPHABET.len())]));
    GUEST.chars().chain(tail).collect()
}

#[cfg(test)]
mod tests;
