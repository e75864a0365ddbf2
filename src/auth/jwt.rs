//! Parses JSON Web Tokens (RFC 7519, in the compact form of RFC 7515) and validates their claims.
//!
//! Does no I/O and is given the time and the keys. No claim is read before the signature is verified.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    credentials::id_text,
    grants::Grants,
    keys::Key,
    principal::{Principal, parse_info, parse_name},
};
use crate::{
    error::{Code, Error, Result},
    model::{Timestamp, UserId},
};

/// The maximum length of a token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A well-formed token whose signature has not been verified.
pub(super) struct UnverifiedToken<'a> {
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'a> UnverifiedToken<'a> {
    /// Parses `token`.
    ///
    /// # Errors
    /// `unauthorized` if it is malformed or asks for something that is not supported.
    pub(super) fn parse(token: &'a str) -> Result<Self> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Error::unauthorized(format!(
                "a token has at most {MAX_TOKEN_BYTES} bytes, this one has {}",
                token.len()
            )));
        }
        let malformed = || Error::unauthorized("the token is not a signed JSON Web Token");
        let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = message.split_once('.').ok_or_else(malformed)?;
        if payload.contains('.') {
            return Err(malformed());
        }
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| malformed())?;
        let header: TokenHeader = serde_json::from_slice(&header).map_err(|_| malformed())?;
        if header.crit.is_some() {
            // RFC 7515, section 4.1.11: reject a token with critical parameters that are not understood.
            return Err(Error::unauthorized(
                "the token has a crit header, which is not supported",
            ));
        }
        Ok(Self {
            message,
            payload,
            signature,
            algorithm: algorithm(&header.alg)?,
            kid: header.kid,
        })
    }

    /// Whether `key` signed the token.
    pub(super) fn is_signed_with(&self, key: &Key) -> bool {
        key.fits(self.algorithm, self.kid.as_deref()) && key.verifies(self.message, self.signature)
    }

    /// Parses the claims; call this only after the signature is verified.
    ///
    /// # Errors
    /// `unauthorized` if the payload is malformed.
    pub(super) fn claims(&self) -> Result<Claims> {
        let malformed = || Error::unauthorized("the token's payload is not base64url");
        let payload = URL_SAFE_NO_PAD
            .decode(self.payload)
            .map_err(|_| malformed())?;
        serde_json::from_slice(&payload).map_err(|error| {
            Error::unauthorized(format!("the token's claims are invalid: {error}"))
        })
    }
}

fn algorithm(name: &str) -> Result<Algorithm> {
    match name {
        "HS256" => Ok(Algorithm::HS256),
        "RS256" => Ok(Algorithm::RS256),
        "ES256" => Ok(Algorithm::ES256),
        "EdDSA" => Ok(Algorithm::EdDSA),
        _ => Err(Error::unauthorized(
            "the token's algorithm is not supported: expected HS256, RS256, ES256 or EdDSA",
        )),
    }
}

/// The claims of a token, by name, as raw JSON.
pub(super) struct Claims(HashMap<String, Box<RawValue>>);

impl Claims {
    /// Parses a claim; `None` if it is absent.
    ///
    /// # Errors
    /// `unauthorized` if the claim has another form.
    fn get<T: DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>> {
        let Some(raw) = self.0.get(name) else {
            return Ok(None);
        };
        let claim = serde_json::from_str(raw.get());
        claim.map(Some).map_err(|_| invalid_claim(name, expected))
    }

    /// As [`get`](Self::get), but treats `null` as absent.
    fn get_non_null<T: DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>> {
        Ok(self.get::<Option<T>>(name, expected)?.flatten())
    }

    /// Parses a time. `null` is an error: `"exp": null` must not mean "never".
    fn time(&self, name: &str) -> Result<Option<Timestamp>> {
        let seconds = self.get(name, "it is not a number of seconds")?;
        Ok(seconds.map(numeric_date))
    }

    /// The user id. Ids from a database may be numbers.
    fn user(&self) -> Result<UserId> {
        let form = "it is neither a string nor a whole number";
        let sub: Option<Box<RawValue>> = self.get_non_null("sub", form)?;
        let sub = sub.ok_or_else(|| Error::unauthorized("the token has no sub"))?;
        let id = id_text(&sub).ok_or_else(|| invalid_claim("sub", form))?;
        UserId::parse(&id).map_err(|error| invalid_claim("sub", error.message()))
    }

    fn grants(&self) -> Result<Option<Grants>> {
        let raw: Option<Box<RawValue>> = self.get_non_null("rooms", "it is invalid")?;
        let grants = raw.map(|raw| serde_json::from_str(raw.get())).transpose();
        // Ignoring the claim would grant more than was intended.
        grants.map_err(|error| {
            let what = format!(
                "it is not [{{ \"match\": pattern, \"can\": [permission, ...] }}, ...] ({error}); tokens with a rooms claim \
                 of the application's own need another name for that"
            );
            invalid_claim("rooms", &what)
        })
    }
}

/// Rejects duplicate claims (RFC 7519, section 4): which one counts would depend on the parser.
impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ClaimsVisitor;
        impl<'de> Visitor<'de> for ClaimsVisitor {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut claims = HashMap::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if claims.contains_key(&name) {
                        let message = format!("duplicate claim {name}");
                        return Err(de::Error::custom(message));
                    }
                    claims.insert(name, value);
                }
                Ok(Claims(claims))
            }
        }
        deserializer.deserialize_map(ClaimsVisitor)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Which claims a token must have, and the defaults for those it lacks.
pub(super) struct ClaimPolicy {
    pub(super) issuer: Option<String>,
    pub(super) audience: Vec<String>,
    pub(super) leeway: Duration,
    pub(super) default_grants: Arc<Grants>,
}

impl ClaimPolicy {
    /// Validates the claims and returns the principal that they describe.
    ///
    /// # Errors
    /// `token_expired` if the token has expired by `now`, `unauthorized` if a claim is invalid or not accepted.
    pub(super) fn principal(&self, claims: &Claims, now: Timestamp) -> Result<Principal> {
        let expires_at = self.check_times(claims, now)?;
        self.check_parties(claims)?;
        let text = "it is not a string";
        let name: Option<String> = claims.get_non_null("name", text)?;
        let info: Option<Box<RawValue>> = claims.get_non_null("info", "it is invalid")?;
        Ok(Principal {
            user: claims.user()?,
            name: parse_name(name.as_deref().unwrap_or_default())
                .map_err(|error| invalid_claim("name", error.message()))?,
            info: info
                .map(parse_info)
                .transpose()
                .map_err(|error| invalid_claim("info", error.message()))?,
            grants: match claims.grants()? {
                Some(rooms) => Arc::new(rooms),
                None => Arc::clone(&self.default_grants),
            },
            expires_at,
        })
    }

    /// `exp` is the first moment at which the token is no longer valid (RFC 7519, section 4.1.4).
    fn check_times(&self, claims: &Claims, now: Timestamp) -> Result<Option<Timestamp>> {
        let leeway = u64::try_from(self.leeway.as_millis()).unwrap_or(u64::MAX);
        let exp = claims.time("exp")?;
        if let Some(exp) = exp
            && now.0 >= exp.0.saturating_add(leeway)
        {
            return Err(Error::new(Code::TokenExpired, "the token has expired"));
        }
        if let Some(nbf) = claims.time("nbf")?
            && now.0.saturating_add(leeway) < nbf.0
        {
            return Err(Error::unauthorized("the token is not valid yet (nbf)"));
        }
        Ok(exp)
    }

    fn check_parties(&self, claims: &Claims) -> Result<()> {
        let issuer: Option<String> = claims.get_non_null("iss", "it is not a string")?;
        if self.issuer.is_some() && issuer != self.issuer {
            return Err(Error::unauthorized(
                "the token's issuer (iss) is not the one that this server trusts",
            ));
        }
        let audience =
            claims.get_non_null("aud", "it is neither a string nor a list of strings")?;
        let audiences = match &audience {
            None => &[],
            Some(Audience::One(one)) => std::slice::from_ref(one),
            Some(Audience::Many(many)) => many.as_slice(),
        };
        if !self.audience.is_empty() && !audiences.iter().any(|aud| self.audience.contains(aud)) {
            return Err(Error::unauthorized(
                "the token is for another audience (aud) than this server",
            ));
        }
        Ok(())
    }
}

fn invalid_claim(claim: &str, what: &str) -> Error {
    Error::unauthorized(format!("the token's {claim}: {what}"))
}

/// Converts seconds since the epoch, with or without a fraction; negative values become zero.
fn numeric_date(seconds: f64) -> Timestamp {
    // A cast from a float saturates, as it should for times out of range.
    Timestamp((seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests;
