//! The one place that says whether an identity is good: all keys, all terms, both modes.
//!
//! Knows no transport; how a token was brought is the doors' matter.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jsonwebtoken::Algorithm;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    api_keys::ApiKeys,
    grants::Grants,
    jwks::Jwks,
    jwt::{Signed, Terms},
    keys::Key,
    open,
    principal::Principal,
};
use crate::{
    error::{Error, Result},
    model::{Timestamp, UserId},
    options::{Secret, SecretUrl},
};

/// Which keys to trust and on what terms. Without any key the authority is open.
#[derive(Clone, Debug)]
pub struct AuthorityConfig {
    /// A secret shared with whoever issues tokens (HS256), at least [`MIN_SECRET_BYTES`](super::MIN_SECRET_BYTES) long.
    pub hmac_secret: Option<Secret>,
    /// A file with such a secret, without the line end that editors add. With both, both are trusted.
    pub hmac_secret_file: Option<PathBuf>,
    /// Public keys as PEM text, or the path of a file with it: RSA (RS256), EC P-256 (ES256), Ed25519 (EdDSA).
    pub public_key: Option<String>,
    /// The URL or path of a JSON Web Key Set.
    pub jwks: Option<SecretUrl>,
    /// Keys of back ends, as [`ApiKeys`] reads them.
    pub api_keys: Vec<Secret>,
    /// How often the key set is read again.
    pub jwks_refresh: Duration,
    /// How long a key is accepted after it left the key set.
    pub jwks_keep: Duration,
    /// The `iss` that tokens must have.
    pub issuer: Option<String>,
    /// The `aud` of which tokens must have one; empty: any or none.
    pub audience: Vec<String>,
    /// What a token without `rooms` may do, and everybody in open mode.
    pub default_grants: Grants,
    /// How far clocks may differ.
    pub leeway: Duration,
}

impl Default for AuthorityConfig {
    fn default() -> Self {
        Self {
            hmac_secret: None,
            hmac_secret_file: None,
            public_key: None,
            jwks: None,
            api_keys: Vec::new(),
            jwks_refresh: Duration::from_secs(5 * 60),
            jwks_keep: Duration::from_secs(10 * 60),
            issuer: None,
            audience: Vec::new(),
            default_grants: Grants::everything(),
            leeway: Duration::from_secs(5),
        }
    }
}

/// A key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProblem {
    /// The option that names it.
    pub option: &'static str,
    /// What is wrong with it, and what was expected.
    pub what: String,
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.option, self.what)
    }
}

/// Turns tokens, or in open mode names, into principals. Cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    keys: Vec<Key>,
    jwks: Option<Arc<Jwks>>,
    api_keys: ApiKeys,
    terms: Terms,
    started: AtomicBool,
}

impl Authority {
    /// An authority on these terms, or everything that is wrong with them, each in a sentence.
    ///
    /// Files are read now; a key set behind a URL is first read by [`Authority::start`].
    pub fn new(config: AuthorityConfig) -> Result<Self, Vec<KeyProblem>> {
        let mut problems = Vec::new();
        let mut keys = Vec::new();
        let mut take = |option: &'static str, found: Result<Vec<Key>, String>| match found {
            Ok(found) => keys.extend(found),
            Err(what) => problems.push(KeyProblem { option, what }),
        };
        if let Some(secret) = &config.hmac_secret {
            take("auth.hmac_secret", secret_key(secret.expose()));
        }
        if let Some(path) = &config.hmac_secret_file {
            let key = read(path).and_then(|text| secret_key(text.trim_end_matches(['\r', '\n'])));
            take("auth.hmac_secret_file", key);
        }
        if let Some(pem) = &config.public_key {
            take("auth.public_key", public_keys(pem));
        }
        let jwks = match key_set(&config) {
            Ok(jwks) => jwks,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let api_keys = ApiKeys::parse(config.api_keys.iter().map(Secret::expose));
        let api_keys = api_keys.unwrap_or_else(|what| {
            let option = "auth.api_keys";
            problems.push(KeyProblem { option, what });
            ApiKeys::default()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self(Arc::new(Inner {
            keys,
            jwks,
            api_keys,
            terms: Terms {
                issuer: config.issuer,
                audience: config.audience,
                leeway: config.leeway,
                default_grants: Arc::new(config.default_grants),
            },
            started: AtomicBool::new(false),
        })))
    }

    /// Reads the key set and keeps it fresh until `stop`; the handle is of the task that does so.
    ///
    /// `None` when there is no key set, or it is kept fresh already. A key set that cannot be read is a warning:
    /// tokens that it takes are `unavailable` until it can.
    pub async fn start(&self, stop: CancellationToken) -> Option<JoinHandle<()>> {
        let jwks = self.0.jwks.as_ref()?;
        if self.0.started.swap(true, Ordering::Relaxed) {
            return None;
        }
        stop.run_until_cancelled(jwks.read()).await;
        Some(tokio::spawn(Arc::clone(jwks).keep_fresh(stop)))
    }

    /// Whether no key is configured, so that everybody is who they say.
    pub fn is_open(&self) -> bool {
        self.0.keys.is_empty() && self.0.jwks.is_none()
    }

    /// Whether tokens can be checked: `unavailable` while the key set could not be read yet.
    pub fn ready(&self) -> Result<()> {
        match &self.0.jwks {
            Some(jwks) => jwks.ready(),
            None => Ok(()),
        }
    }

    /// The keys of back ends; they open no other door than the API, and do not make the authority less open.
    pub fn api_keys(&self) -> &ApiKeys {
        &self.0.api_keys
    }

    /// Whom `token` speaks for, if it is good at `now`.
    ///
    /// `unauthorized` if it is not, `token_expired` if it was, `unavailable` if the key set that it takes could
    /// not be read so far.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Principal> {
        if self.is_open() {
            return Err(Error::unauthorized(
                "this server has no key to check a token with",
            ));
        }
        let token = Signed::parse(token)?;
        if !self.is_signed(&token).await? {
            return Err(Error::unauthorized(
                "the token is not signed with a key that this server trusts",
            ));
        }
        self.0.terms.admit(&token.claims()?, now)
    }

    /// Whether verifying a token would take a signature of a public key: many times what everything else of a request takes.
    pub fn is_dear(&self, token: &str) -> bool {
        Signed::parse(token).is_ok_and(|token| token.algorithm != Algorithm::HS256)
    }

    async fn is_signed(&self, token: &Signed<'_>) -> Result<bool> {
        if self.0.keys.iter().any(|key| token.is_signed_with(key)) {
            return Ok(true);
        }
        match &self.0.jwks {
            Some(jwks) => jwks.verifies(token).await,
            None => Ok(false),
        }
    }

    /// The principal for somebody who says to be `user`, or a guest `guest-xxxxxx`; only in open mode.
    ///
    /// `bad_request` if `user` is no user id, `unauthorized` if a token is required.
    pub fn open_principal(&self, user: Option<&str>) -> Result<Principal> {
        if !self.is_open() {
            return Err(Error::unauthorized("a token is required"));
        }
        open::principal(user, Arc::clone(&self.0.terms.default_grants))
    }

    /// Whether `user` is a guest: a name that nobody has chosen. There are none where tokens are asked for.
    pub fn is_guest(&self, user: &UserId) -> bool {
        self.is_open() && open::is_guest(user)
    }
}

/// Says what kind of authority this is and no key.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("open", &self.is_open())
            .field("keys", &self.0.keys.len())
            .field("jwks", &self.0.jwks.is_some())
            .finish()
    }
}

fn secret_key(secret: &str) -> Result<Vec<Key>, String> {
    Key::from_secret(secret)
        .map(|key| vec![key])
        .map_err(|error| error.to_string())
}

fn public_keys(pem_or_path: &str) -> Result<Vec<Key>, String> {
    if pem_or_path.contains("-----BEGIN") {
        return Key::all_from_pem(pem_or_path).map_err(|error| error.to_string());
    }
    let path = Path::new(pem_or_path);
    Key::all_from_pem(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

fn key_set(config: &AuthorityConfig) -> Result<Option<Arc<Jwks>>, KeyProblem> {
    let Some(place) = &config.jwks else {
        return Ok(None);
    };
    if config.jwks_refresh.is_zero() {
        return Err(KeyProblem {
            option: "auth.jwks_refresh",
            what: "it is 0; expected is how often to read the key set".into(),
        });
    }
    let jwks =
        Jwks::new(place.expose(), config.jwks_refresh, config.jwks_keep).map_err(|error| {
            KeyProblem {
                option: "auth.jwks",
                what: format!("{place}: {}", error.whole()),
            }
        })?;
    Ok(Some(Arc::new(jwks)))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("the file {} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests;
