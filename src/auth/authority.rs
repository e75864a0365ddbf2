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
    config::{Secret, SecretUrl},
    error::{Error, Result},
    model::{Timestamp, UserId},
};

/// Which keys to trust and on what terms. Without any key the authority is open.
#[derive(Clone, Debug)]
pub struct AuthorityConfig {
    /// A secret shared with whoever issues tokens (HS256), at least [`SECRET_BYTES`](super::SECRET_BYTES) long.
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
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::{super::testing::Signer, *};
    use crate::error::Code;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn verifying(config: AuthorityConfig) -> Authority {
        Authority::new(config).unwrap()
    }

    fn with_secret() -> AuthorityConfig {
        AuthorityConfig {
            hmac_secret: Some(SECRET.into()),
            ..AuthorityConfig::default()
        }
    }

    fn with_public(pem: &str) -> AuthorityConfig {
        AuthorityConfig {
            public_key: Some(pem.into()),
            ..AuthorityConfig::default()
        }
    }

    async fn user(authority: &Authority, token: &str) -> Result<String, Code> {
        match authority.verify(token, Timestamp(0)).await {
            Ok(principal) => Ok(principal.user.to_string()),
            Err(error) => Err(error.code()),
        }
    }

    #[tokio::test]
    async fn a_token_of_every_algorithm_is_good_with_its_key_and_with_no_other() {
        let signers = [Signer::rsa(), Signer::ec(), Signer::ed()];
        for signer in &signers {
            let authority = verifying(with_public(&signer.public_pem));
            for other in &signers {
                let expected = if std::ptr::eq(signer, other) {
                    Ok("alice".to_owned())
                } else {
                    Err(Code::Unauthorized)
                };
                let token = other.token(None, "alice");
                assert_eq!(
                    user(&authority, &token).await,
                    expected,
                    "{:?}",
                    other.algorithm
                );
            }
        }
        let authority = verifying(with_secret());
        let good = Signer::secret(SECRET).token(Some("any"), "alice");
        assert_eq!(user(&authority, &good).await, Ok("alice".into()));
        let bad = Signer::secret(&SECRET.to_uppercase()).token(None, "alice");
        assert_eq!(user(&authority, &bad).await, Err(Code::Unauthorized));
    }

    #[tokio::test]
    async fn another_key_of_the_same_kind_signs_nothing_that_is_accepted() {
        for (ours, theirs) in [
            (Signer::rsa(), Signer::rsa()),
            (Signer::ec(), Signer::ec()),
            (Signer::ed(), Signer::ed()),
        ] {
            let authority = verifying(with_public(&ours.public_pem));
            let token = theirs.token(None, "alice");
            assert_eq!(user(&authority, &token).await, Err(Code::Unauthorized));
        }
    }

    #[tokio::test]
    async fn all_configured_keys_are_trusted_together() {
        let (rsa, ed) = (Signer::rsa(), Signer::ed());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let second = "another secret of at least 32 bytes";
        std::fs::write(&file, format!("{second}\n")).unwrap();
        let pems = folder.path().join("keys.pem");
        std::fs::write(&pems, format!("{}{}", rsa.public_pem, ed.public_pem)).unwrap();
        let authority = verifying(AuthorityConfig {
            hmac_secret_file: Some(file),
            public_key: Some(pems.display().to_string()),
            ..with_secret()
        });
        for signer in [rsa, ed, Signer::secret(SECRET), Signer::secret(second)] {
            let token = signer.token(None, "alice");
            assert_eq!(
                user(&authority, &token).await,
                Ok("alice".into()),
                "{:?}",
                signer.algorithm
            );
        }
    }

    #[tokio::test]
    async fn a_public_key_is_never_taken_for_a_secret() {
        let rsa = Signer::rsa();
        let both = verifying(AuthorityConfig {
            hmac_secret: Some(SECRET.into()),
            ..with_public(&rsa.public_pem)
        });
        for authority in [verifying(with_public(&rsa.public_pem)), both] {
            for text in [rsa.public_pem.as_str(), rsa.public_pem.trim_end()] {
                let forged = Signer::secret(text).token(None, "admin");
                assert_eq!(user(&authority, &forged).await, Err(Code::Unauthorized));
            }
        }
    }

    #[tokio::test]
    async fn an_unsigned_or_changed_token_is_refused() {
        let authority = verifying(with_secret());
        let good = Signer::secret(SECRET).token(None, "alice");
        let parts: Vec<&str> = good.split('.').collect();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let admin = URL_SAFE_NO_PAD.encode(r#"{"sub":"admin"}"#);
        for token in [
            format!("{none}.{admin}."),
            format!("{none}.{admin}.{}", parts[2]),
            format!("{}.{admin}.{}", parts[0], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}.{}", parts[0], parts[1], &parts[2][1..]),
            format!("{good}="),
            format!("{good}\n"),
            "garbage".into(),
            String::new(),
        ] {
            assert_eq!(
                user(&authority, &token).await,
                Err(Code::Unauthorized),
                "{token}"
            );
        }
    }

    #[tokio::test]
    async fn the_terms_hold_for_a_good_signature_only() {
        let authority = verifying(AuthorityConfig {
            issuer: Some("https://id".into()),
            default_grants: Grants::parse("lobby=join").unwrap(),
            ..with_secret()
        });
        let old = json!({"sub": "alice", "iss": "https://id", "exp": 10});
        let token = Signer::secret(SECRET).sign(None, &old);
        let at = |ms| authority.verify(&token, Timestamp(ms));
        let alice = at(14_999).await.unwrap();
        assert_eq!(alice.expires_at, Some(Timestamp(10_000)));
        assert_eq!(alice.grants.to_string(), "lobby=join");
        assert_eq!(at(15_000).await.unwrap_err().code(), Code::TokenExpired);
        // Whoever made it up is not told what it says.
        let forged = Signer::secret(&SECRET.to_uppercase()).sign(None, &old);
        let error = authority
            .verify(&forged, Timestamp(15_000))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::Unauthorized);
    }

    #[test]
    fn every_problem_is_told_at_once_and_names_its_option() {
        let problems = Authority::new(AuthorityConfig {
            hmac_secret: Some("short".into()),
            hmac_secret_file: Some("/no/such/file".into()),
            public_key: Some("-----BEGIN CERTIFICATE-----".into()),
            jwks: Some("/no/such/set".into()),
            ..AuthorityConfig::default()
        })
        .unwrap_err();
        let expected = [
            ("auth.hmac_secret", "has 5 bytes"),
            ("auth.hmac_secret_file", "/no/such/file cannot be read"),
            ("auth.public_key", "holds a CERTIFICATE"),
            ("auth.jwks", "cannot be read"),
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, (option, what)) in problems.iter().zip(expected) {
            assert!(
                problem.option == option && problem.what.contains(what),
                "{problem}"
            );
        }
    }

    #[test]
    fn no_secret_is_ever_printed() {
        let config = with_secret();
        assert!(!format!("{config:?}").contains(SECRET));
        assert!(!format!("{:?}", verifying(config)).contains(SECRET));
    }

    #[tokio::test]
    async fn without_any_key_everybody_is_who_they_say_or_a_guest() {
        let open = verifying(AuthorityConfig::default());
        assert!(open.is_open());
        assert_eq!(
            open.open_principal(Some("bob")).unwrap().user.as_str(),
            "bob"
        );
        assert_eq!(
            open.open_principal(Some("a b")).unwrap_err().code(),
            Code::BadRequest
        );
        let guest = open.open_principal(None).unwrap();
        let tail = guest.user.as_str().strip_prefix("guest-").unwrap();
        assert_eq!(tail.len(), 6);
        assert!(
            tail.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        );
        assert_ne!(guest.user, open.open_principal(None).unwrap().user);
        assert_eq!(guest.expires_at, None);
        assert_eq!(user(&open, "x").await, Err(Code::Unauthorized));
        assert!(open.start(CancellationToken::new()).await.is_none());
    }

    #[test]
    fn with_a_key_nobody_gets_in_by_a_name() {
        let authority = verifying(with_secret());
        assert!(!authority.is_open());
        for name in [None, Some("bob")] {
            let error = authority.open_principal(name).unwrap_err();
            assert_eq!(error.code(), Code::Unauthorized);
        }
    }
}
