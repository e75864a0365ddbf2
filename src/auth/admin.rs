//! The key of operators, `auth.admin_key`, and the sessions of the dashboard that are opened with it.
//!
//! A session is a cookie that this module signs: when it ends, and a random number, so that every node with the same key accepts it
//! and none has to store it. One that has been ended by its user is remembered until it would have ended by itself, by the node that
//! was told.

use std::{collections::HashMap, fmt, sync::Mutex, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderMap;

use super::{api_keys::ApiKeys, credentials::cookie};
use crate::{model::Timestamp, options::Secret, sync::lock};

/// The cookie of a session.
pub(crate) const ADMIN_COOKIE: &str = "switchboard_admin";

/// How long a session lasts: a working day.
pub(crate) const ADMIN_SESSION: Duration = Duration::from_secs(12 * 3600);

/// What is signed besides the session, so that the key signs nothing else by accident.
const CONTEXT: &[u8] = b"switchboard admin session";

const NONCE_BYTES: usize = 16;
const SIGNED_BYTES: usize = 8 + NONCE_BYTES;

/// Sessions ended by their users that are remembered; the one that ends first is forgotten beyond that.
const MAX_ENDED: usize = 10_000;

type Nonce = [u8; NONCE_BYTES];

/// Access for operators.
pub(crate) struct AdminAccess {
    key: ApiKeys,
    signing: hmac::Key,
    /// Sessions ended by their users, and when they would have ended.
    ended: Mutex<HashMap<Nonce, Timestamp>>,
}

/// A session that is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdminSession {
    nonce: Nonce,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
}

impl AdminAccess {
    /// Access by this key.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub(super) fn new(key: &Secret) -> Result<Self, String> {
        let text = key.expose();
        // Sessions are signed with the key, so a digest of it would do as well as the key itself.
        if text.starts_with("sha256:") {
            return Err("is a digest: expected the key itself".to_owned());
        }
        Ok(Self {
            key: ApiKeys::parse([text])?,
            signing: hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()),
            ended: Mutex::default(),
        })
    }

    /// Whether `presented` is the key. Takes constant time for texts of one length.
    pub(crate) fn is_key(&self, presented: &str) -> bool {
        self.key.contains(presented)
    }

    /// Opens a session, and returns its token: the value of its cookie.
    pub(crate) fn open_session(&self, now: Timestamp) -> String {
        let session = AdminSession {
            nonce: rand::random(),
            expires_at: now.plus(ADMIN_SESSION),
        };
        let mut token = session.signed_bytes().to_vec();
        token.extend(self.sign(&session).as_ref());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The session whose cookie a request brings, if it is valid.
    pub(crate) fn session(&self, headers: &HeaderMap, now: Timestamp) -> Option<AdminSession> {
        self.session_of_token(&cookie(headers, ADMIN_COOKIE)?, now)
    }

    /// The session of a token, if it is valid.
    pub(crate) fn session_of_token(&self, token: &str, now: Timestamp) -> Option<AdminSession> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signed, signature) = token.split_at_checked(SIGNED_BYTES)?;
        let (expires_at, nonce) = signed.split_at(8);
        let session = AdminSession {
            nonce: nonce.try_into().ok()?,
            expires_at: Timestamp(u64::from_be_bytes(expires_at.try_into().ok()?)),
        };
        let signed = [CONTEXT, signed].concat();
        hmac::verify(&self.signing, &signed, signature).ok()?;
        self.is_open(session, now).then_some(session)
    }

    /// Whether a session that was valid still is.
    pub(crate) fn is_open(&self, session: AdminSession, now: Timestamp) -> bool {
        now < session.expires_at && !lock(&self.ended).contains_key(&session.nonce)
    }

    /// Ends a session for good.
    pub(crate) fn end_session(&self, session: AdminSession, now: Timestamp) {
        let mut ended = lock(&self.ended);
        ended.retain(|_, expires_at| now < *expires_at);
        if ended.len() >= MAX_ENDED
            && let Some(first) = ended
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(nonce, _)| *nonce)
        {
            ended.remove(&first);
        }
        ended.insert(session.nonce, session.expires_at);
    }

    fn sign(&self, session: &AdminSession) -> hmac::Tag {
        let signed = [CONTEXT, &session.signed_bytes()].concat();
        hmac::sign(&self.signing, &signed)
    }
}

impl AdminSession {
    fn signed_bytes(&self) -> [u8; SIGNED_BYTES] {
        let mut bytes = [0; SIGNED_BYTES];
        bytes[..8].copy_from_slice(&self.expires_at.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.nonce);
        bytes
    }
}

/// Prints nothing of the key.
impl fmt::Debug for AdminAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminAccess").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
