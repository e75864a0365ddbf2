//! Authentication: the keys, the claim policy, and both modes, with tokens and open.
//!
//! Knows no transport; where a token was found does not matter here.

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
    admin::AdminAccess,
    api_keys::ApiKeys,
    grants::Grants,
    jwks::Jwks,
    jwt::{ClaimPolicy, UnverifiedToken},
    keys::Key,
    open_mode,
    principal::Principal,
};
use crate::{
    error::{Error, Result},
    model::{Timestamp, UserId},
    options::{Secret, SecretUrl},
};

/// Which keys to trust, and which claims to require. Without any key the authority is open.
#[derive(Clone, Debug)]
pub struct AuthorityConfig {
    /// A secret shared with the issuer of tokens (HS256), at least [`MIN_SECRET_BYTES`](super::MIN_SECRET_BYTES) long.
    pub hmac_secret: Option<Secret>,
    /// A file with such a secret; trailing line breaks are ignored. If both are set, both are trusted.
    pub hmac_secret_file: Option<PathBuf>,
    /// Public keys as PEM, or the path of a PEM file: RSA (RS256), EC P-256 (ES256), Ed25519 (EdDSA).
    pub public_key: Option<String>,
    /// The URL or path of a JSON Web Key Set.
    pub jwks: Option<SecretUrl>,
    /// API keys of back ends: in plain text, or as `sha256:` and 64 hexadecimal digits of a key's digest.
    pub api_keys: Vec<Secret>,
    /// The key of operators, which opens the dashboard: at least 20 characters.
    pub admin_key: Option<Secret>,
    /// How often the key set is fetched again.
    pub jwks_refresh: Duration,
    /// How long a key is accepted after it has left the key set.
    pub jwks_keep: Duration,
    /// The required `iss`; `None` accepts any.
    pub issuer: Option<String>,
    /// The accepted `aud` values; empty accepts any or none.
    pub audience: Vec<String>,
    /// The grants of a token without `rooms`, and of every user in open mode.
    pub default_grants: Grants,
    /// Clock skew tolerated when checking `exp` and `nbf`.
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
            admin_key: None,
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
    /// The option that configures it.
    pub option: &'static str,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.option, self.what)
    }
}

/// Turns tokens, or names in open mode, into principals. Cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<AuthorityState>);

struct AuthorityState {
    keys: Vec<Key>,
    jwks: Option<Arc<Jwks>>,
    api_keys: ApiKeys,
    admin: Option<AdminAccess>,
    policy: ClaimPolicy,
    started: AtomicBool,
    /// The embedding application decides who a client is.
    has_application: AtomicBool,
}

impl Authority {
    /// Reads the keys. Files are read now; a key set at a URL is first fetched by [`Authority::start`].
    ///
    /// # Errors
    /// Fails with every key that cannot be used.
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
        let admin = config.admin_key.as_ref().map(AdminAccess::new);
        let admin = admin.transpose().unwrap_or_else(|what| {
            let option = "auth.admin_key";
            problems.push(KeyProblem { option, what });
            None
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self(Arc::new(AuthorityState {
            keys,
            jwks,
            api_keys,
            admin,
            policy: ClaimPolicy {
                issuer: config.issuer,
                audience: config.audience,
                leeway: config.leeway,
                default_grants: Arc::new(config.default_grants),
            },
            started: AtomicBool::new(false),
            has_application: AtomicBool::new(false),
        })))
    }

    /// Fetches the key set, and spawns a task that refreshes it until `stop`; returns the task.
    ///
    /// Returns `None` if there is no key set or it was started before. A key set that cannot be fetched is logged as a
    /// warning; until it can be, tokens that need it fail with `unavailable`.
    pub async fn start(&self, stop: CancellationToken) -> Option<JoinHandle<()>> {
        let jwks = self.0.jwks.as_ref()?;
        if self.0.started.swap(true, Ordering::Relaxed) {
            return None;
        }
        stop.run_until_cancelled(jwks.refresh()).await;
        Some(tokio::spawn(Arc::clone(jwks).refresh_until(stop)))
    }

    /// Notes that the embedding application decides who a client is, which ends open mode.
    pub(crate) fn set_has_application(&self) {
        self.0.has_application.store(true, Ordering::Relaxed);
    }

    /// Whether no key is configured, so that user names are not verified.
    pub fn is_open(&self) -> bool {
        self.0.keys.is_empty() && self.0.jwks.is_none() && !self.has_application()
    }

    /// Whether the embedding application decides who a client is.
    pub(crate) fn has_application(&self) -> bool {
        self.0.has_application.load(Ordering::Relaxed)
    }

    /// Checks that tokens can be verified.
    ///
    /// # Errors
    /// `unavailable` until the key set has been fetched.
    pub(crate) fn ready(&self) -> Result<()> {
        match &self.0.jwks {
            Some(jwks) => jwks.ready(),
            None => Ok(()),
        }
    }

    /// Access for operators, if there is any.
    pub(crate) fn admin(&self) -> Option<&AdminAccess> {
        self.0.admin.as_ref()
    }

    /// The keys of back ends. They are valid for the REST API only, and do not end open mode.
    pub(crate) fn api_keys(&self) -> &ApiKeys {
        &self.0.api_keys
    }

    /// Verifies `token` and returns its principal.
    ///
    /// # Errors
    /// Fails with `unauthorized` if the token is invalid, `token_expired` if it was valid before `now`, and `unavailable` if it needs a key
    /// set that has not been fetched yet.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Principal> {
        if self.is_open() {
            return Err(Error::unauthorized(
                "this server has no key to check a token with",
            ));
        }
        let token = UnverifiedToken::parse(token)?;
        if !self.has_valid_signature(&token).await? {
            return Err(Error::unauthorized(
                "the token is not signed with a key that this server trusts",
            ));
        }
        self.0.policy.principal(&token.claims()?, now)
    }

    /// Whether verifying the token takes a public-key operation, which costs many times the rest of a request.
    pub(crate) fn needs_public_key(&self, token: &str) -> bool {
        UnverifiedToken::parse(token).is_ok_and(|token| token.algorithm != Algorithm::HS256)
    }

    async fn has_valid_signature(&self, token: &UnverifiedToken<'_>) -> Result<bool> {
        if self.0.keys.iter().any(|key| token.is_signed_with(key)) {
            return Ok(true);
        }
        match &self.0.jwks {
            Some(jwks) => jwks.verifies(token).await,
            None => Ok(false),
        }
    }

    /// The principal of `user`, or of a new guest `guest-xxxxxx`; for open mode only.
    ///
    /// # Errors
    /// `bad_request` if `user` is not a valid user id, `unauthorized` if a token is required.
    pub(crate) fn open_principal(&self, user: Option<&str>) -> Result<Principal> {
        if !self.is_open() {
            return Err(Error::unauthorized("a token is required"));
        }
        open_mode::principal(user, Arc::clone(&self.0.policy.default_grants))
    }

    /// Whether `user` is a guest: a generated name. Guests exist in open mode only.
    pub(crate) fn is_guest(&self, user: &UserId) -> bool {
        self.is_open() && open_mode::is_guest(user)
    }
}

/// Prints the mode and the number of keys, never a key.
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
    let Some(location) = &config.jwks else {
        return Ok(None);
    };
    if config.jwks_refresh.is_zero() {
        return Err(KeyProblem {
            option: "auth.jwks_refresh",
            what: "must be more than 0".into(),
        });
    }
    let jwks =
        Jwks::new(location.expose(), config.jwks_refresh, config.jwks_keep).map_err(|error| {
            KeyProblem {
                option: "auth.jwks",
                what: format!("{location}: {}", error.with_causes()),
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
