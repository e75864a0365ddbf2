//! Makes tokens for people who set up or try out a server (`switchboard token`).
//!
//! The server itself never issues any.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{grants::Grants, jwt::TOKEN_BYTES, keys::Key};
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
    if token.len() > TOKEN_BYTES {
        return Err(Error::new(
            Code::TooLarge,
            format!(
                "a token has at most {TOKEN_BYTES} bytes, this one would have {}",
                token.len()
            ),
        ));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Authority, AuthorityConfig, parse_info, parse_name};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn authority() -> Authority {
        Authority::new(AuthorityConfig {
            hmac_secret: Some(SECRET.into()),
            issuer: Some("https://id".into()),
            audience: vec!["chat".into()],
            leeway: Duration::ZERO,
            ..AuthorityConfig::default()
        })
        .unwrap()
    }

    fn alice() -> TokenClaims {
        TokenClaims::for_user(UserId::parse("alice").unwrap())
    }

    #[tokio::test]
    async fn what_an_issued_token_says_is_what_the_server_reads() {
        let info = RawValue::from_string(r#"{"a":1.0}"#.into()).unwrap();
        let claims = TokenClaims {
            name: parse_name("Alice").unwrap(),
            info: Some(parse_info(info).unwrap()),
            rooms: Some(Grants::parse("team:*=join,publish; lobby=join").unwrap()),
            ttl: Some(Duration::from_secs(60)),
            iss: Some("https://id".into()),
            aud: vec!["other".into(), "chat".into()],
            ..alice()
        };
        let token = issue(SECRET, &claims, Timestamp(1_000_400)).unwrap();
        let read = authority()
            .verify(&token, Timestamp(1_060_999))
            .await
            .unwrap();
        assert_eq!(read.sender().user, claims.sub);
        assert_eq!(read.sender().name, claims.name);
        assert_eq!(read.info.unwrap().get(), r#"{"a":1.0}"#);
        assert_eq!(Some(&*read.grants), claims.rooms.as_ref());
        assert_eq!(read.expires_at, Some(Timestamp(1_061_000)));
        assert!(
            authority()
                .verify(&token, Timestamp(1_061_000))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_token_for_a_user_alone_leaves_the_rest_to_the_server() {
        let open_terms = Authority::new(AuthorityConfig {
            hmac_secret: Some(SECRET.into()),
            default_grants: Grants::parse("lobby=join").unwrap(),
            ..AuthorityConfig::default()
        })
        .unwrap();
        let token = issue(SECRET, &alice(), Timestamp(0)).unwrap();
        let read = open_terms
            .verify(&token, Timestamp(u64::MAX))
            .await
            .unwrap();
        assert_eq!(read.grants.to_string(), "lobby=join");
        assert_eq!(read.expires_at, None);
        assert!(authority().verify(&token, Timestamp(0)).await.is_err());
    }

    #[test]
    fn a_token_that_no_server_would_take_is_not_made() {
        let error = issue("short", &alice(), Timestamp(0)).unwrap_err();
        assert_eq!(error.code(), Code::BadRequest);
        let rule = format!("{}=join", "x".repeat(128));
        let rooms = Grants::parse(&vec![rule; 64].join(";")).unwrap();
        let claims = TokenClaims {
            rooms: Some(rooms),
            ..alice()
        };
        let error = issue(SECRET, &claims, Timestamp(0)).unwrap_err();
        assert_eq!(error.code(), Code::TooLarge);
    }
}
