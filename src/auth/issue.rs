//! Makes tokens for people who set up or try out a server (`switchboard token`).
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

/// What a new token is to say.
#[derive(Clone, Debug)]
pub struct TokenClaims {
    /// The user.
    pub sub: UserId,
    /// The name to show; made by [`parse_name`](super::parse_name).
    pub name: Option<Arc<str>>,
    /// What presence shows besides; made by [`parse_info`](super::parse_info).
    pub info: Option<Arc<RawValue>>,
    /// What the user may do; `None`: what the server grants by default.
    pub rooms: Option<Grants>,
    /// How long the token is good, rounded up to seconds; `None`: for ever.
    pub ttl: Option<Duration>,
    /// The issuer.
    pub iss: Option<String>,
    /// The audience.
    pub aud: Vec<String>,
}

impl TokenClaims {
    /// Claims that say who the user is and nothing else.
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
struct Payload<'a> {
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

/// A token with `claims`, signed with `secret` (HS256), that a server with the same secret accepts.
///
/// `bad_request` if the secret is too short, `too_large` if the token would be.
pub fn issue(secret: &str, claims: &TokenClaims, now: Timestamp) -> Result<String> {
    Key::from_secret(secret).map_err(|error| Error::bad_request(error.to_string()))?;
    let exp = claims.ttl.map(|ttl| {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        now.0.saturating_add(ttl).div_ceil(1000)
    });
    let payload = Payload {
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
    .map_err(|error| {
        Error::new(Code::Internal, "the token could not be signed").caused_by(error)
    })?;
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
