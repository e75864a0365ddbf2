//! Issues tokens for setting up or trying out a server (`switchboard token`).
//!
//! The server itself never issues any.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{grants::Grants, jwt::MAX_TOKEN_BYTES, keys::Key};
use crate::{
    error::{Code, Error, Result},
    model::{Timestamp, UserId},
};

/// The claims of a new token.
///
/// ```
/// use std::time::Duration;
/// use switchboard::{auth::{TokenClaims, issue}, model::{Timestamp, UserId}};
///
/// let claims = TokenClaims {
///     ttl: Some(Duration::from_secs(3600)),
///     ..TokenClaims::for_user(UserId::parse("alice")?)
/// };
/// let token = issue("an example, at least 32 bytes long", &claims, Timestamp::now())?;
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenClaims {
    /// The user.
    pub sub: UserId,
    /// The display name, from [`parse_name`](super::parse_name).
    pub name: Option<Arc<str>>,
    /// Additional data for presence, from [`parse_info`](super::parse_info).
    pub info: Option<Arc<RawValue>>,
    /// What the user may do; `None` leaves it to the server's default grants.
    pub rooms: Option<Grants>,
    /// The validity period, rounded up to seconds; `None` is unlimited.
    pub ttl: Option<Duration>,
    /// The issuer.
    pub iss: Option<String>,
    /// The audience.
    pub aud: Vec<String>,
}

impl TokenClaims {
    /// Claims that name the user and nothing else.
    pub fn for_user(sub: UserId) -> Self {
        Self {
            sub,
            name: None,
            info: None,
            rooms: None,
            ttl: None,
            iss: None,
            aud: Vec::new(),
        }
    }
}

#[derive(Serialize)]
struct TokenPayload<'a> {
    sub: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<&'a Grants>,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    aud: &'a [String],
}

/// Issues a token with `claims`, signed with `secret` (HS256), that a server with the same secret accepts.
///
/// # Errors
/// Fails with `bad_request` if the secret is too short, and `too_large` if the token would exceed [`MAX_TOKEN_BYTES`].
pub fn issue(secret: &str, claims: &TokenClaims, now: Timestamp) -> Result<String> {
    Key::from_secret(secret).map_err(|error| Error::bad_request(error.to_string()))?;
    let exp = claims.ttl.map(|ttl| {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        now.0.saturating_add(ttl).div_ceil(1000)
    });
    let payload = TokenPayload {
        sub: &claims.sub,
        name: claims.name.as_deref(),
        info: claims.info.as_deref(),
        rooms: claims.rooms.as_ref(),
        iat: now.0 / 1000,
        exp,
        iss: claims.iss.as_deref(),
        aud: &claims.aud,
    };
    let token = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &payload,
        &EncodingKey::from_secret(secret.as_bytes()),
    )
    .map_err(|error| Error::new(Code::Internal, "signing the token failed").caused_by(error))?;
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Error::new(
            Code::TooLarge,
            format!(
                "a token has at most {MAX_TOKEN_BYTES} bytes, this one would have {}",
                token.len()
            ),
        ));
    }
    Ok(token)
}

#[cfg(test)]
mod tests;
