//! A JSON Web Token (RFC 7519, in the compact form of RFC 7515) taken apart, and its claims judged.
//!
//! Does no I/O and is given the time. Which keys there are is `Authority`'s matter; nothing in the claims is
//! looked at before the signature is known to be good.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    credentials::text_of_id,
    grants::Grants,
    keys::Key,
    principal::{Principal, parse_info, parse_name},
};
use crate::{
    error::{Code, Error, Result},
    model::{Timestamp, UserId},
};

/// Longest token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A token whose form is right and whose signature is still to be checked.
pub(super) struct Signed<'a> {
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'a> Signed<'a> {
    /// Takes `token` apart.
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
        let header: Header = serde_json::from_slice(&header).map_err(|_| malformed())?;
        if header.crit.is_some() {
            // RFC 7515, 4.1.11: whoever does not understand what is critical has to refuse.
            return Err(Error::unauthorized(
                "the token has a crit header, which is not understood here",
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

    /// Whether `key` may be the one that signed, and did.
    pub(super) fn is_signed_with(&self, key: &Key) -> bool {
        key.fits(self.algorithm, self.kid.as_deref()) && key.verifies(self.message, self.signature)
    }

    /// The claims; to be called only once the signature is known to be good.
    pub(super) fn claims(&self) -> Result<Claims> {
        let unusable = || Error::unauthorized("the token's payload is not base64url");
        let payload = URL_SAFE_NO_PAD
            .decode(self.payload)
            .map_err(|_| unusable())?;
        serde_json::from_slice(&payload).map_err(|error| {
            Error::unauthorized(format!("the token's claims cannot be used: {error}"))
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
            "the token's algorithm is none of HS256, RS256, ES256 and EdDSA",
        )),
    }
}

/// What a token says: every claim as it stands there.
pub(super) struct Claims(HashMap<String, Box<RawValue>>);

impl Claims {
    /// What a claim says; `None` if it is not there. One of another form is refused by its name.
    fn get<T: DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>> {
        let Some(raw) = self.0.get(name) else {
            return Ok(None);
        };
        let claim = serde_json::from_str(raw.get());
        claim.map(Some).map_err(|_| unfit(name, expected))
    }

    /// As [`get`](Self::get), where `null` says nothing, too.
    fn given<T: DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>> {
        Ok(self.get::<Option<T>>(name, expected)?.flatten())
    }

    /// A time. One that is there has to be a number: `"exp": null` must not mean "for ever".
    fn time(&self, name: &str) -> Result<Option<Timestamp>> {
        let seconds = self.get(name, "it is not a number of seconds")?;
        Ok(seconds.map(numeric_date))
    }

    /// Whom the token speaks for. Ids that come out of a database are numbers.
    fn user(&self) -> Result<UserId> {
        let form = "it is neither a string nor a whole number";
        let sub: Option<Box<RawValue>> = self.given("sub", form)?;
        let sub = sub.ok_or_else(|| Error::unauthorized("the token has no sub"))?;
        let id = text_of_id(&sub).ok_or_else(|| unfit("sub", form))?;
        UserId::parse(&id).map_err(|error| unfit("sub", error.message()))
    }

    fn grants(&self) -> Result<Option<Grants>> {
        let raw: Option<Box<RawValue>> = self.given("rooms", "it is invalid")?;
        let grants = raw.map(|raw| serde_json::from_str(raw.get())).transpose();
        // To go on without it would be to allow more than was meant.
        grants.map_err(|error| {
            let what = format!(
                "it is not [{{ \"match\": pattern, \"can\": [permission, ...] }}, ...] ({error}); tokens with a rooms claim \
                 of the application's own need another name for that"
            );
            unfit("rooms", &what)
        })
    }
}

/// A claim that is there twice is refused (RFC 7519, 4): which of the two counts would be a matter of the parser.
impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut claims = HashMap::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if claims.contains_key(&name) {
                        let twice = format!("the claim {name} is there twice");
                        return Err(de::Error::custom(twice));
                    }
                    claims.insert(name, value);
                }
                Ok(Claims(claims))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What the claims of a good token have to say, and what holds where they are silent.
pub(super) struct Terms {
    pub(super) issuer: Option<String>,
    pub(super) audience: Vec<String>,
    pub(super) leeway: Duration,
    pub(super) default_grants: Arc<Grants>,
}

impl Terms {
    /// The principal that the claims describe, if they are good at `now`.
    pub(super) fn admit(&self, claims: &Claims, now: Timestamp) -> Result<Principal> {
        let expires_at = self.check_times(claims, now)?;
        self.check_parties(claims)?;
        let text = "it is not a string";
        let name: Option<String> = claims.given("name", text)?;
        let info: Option<Box<RawValue>> = claims.given("info", "it is invalid")?;
        Ok(Principal {
            user: claims.user()?,
            name: parse_name(name.as_deref().unwrap_or_default())
                .map_err(|error| unfit("name", error.message()))?,
            info: info
                .map(parse_info)
                .transpose()
                .map_err(|error| unfit("info", error.message()))?,
            grants: match claims.grants()? {
                Some(rooms) => Arc::new(rooms),
                None => Arc::clone(&self.default_grants),
            },
            expires_at,
        })
    }

    /// `exp` is the first moment at which the token is no longer good (RFC 7519, 4.1.4).
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
        let issuer: Option<String> = claims.given("iss", "it is not a string")?;
        if self.issuer.is_some() && issuer != self.issuer {
            return Err(Error::unauthorized(
                "the token is from another issuer (iss) than the one this server trusts",
            ));
        }
        let audience = claims.given("aud", "it is neither a string nor a list of strings")?;
        let meant = match &audience {
            None => &[],
            Some(Audience::One(one)) => std::slice::from_ref(one),
            Some(Audience::Many(many)) => many.as_slice(),
        };
        if !self.audience.is_empty() && !meant.iter().any(|aud| self.audience.contains(aud)) {
            return Err(Error::unauthorized(
                "the token is for another audience (aud) than this server",
            ));
        }
        Ok(())
    }
}

fn unfit(claim: &str, what: &str) -> Error {
    Error::unauthorized(format!("the token's {claim}: {what}"))
}

/// Seconds since the epoch, with or without fraction; what is before it is at it.
fn numeric_date(seconds: f64) -> Timestamp {
    // A cast from a float saturates, which is what a time beyond all times should do.
    Timestamp((seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests;
