//! The options of authentication.

use std::{fs, io, path::PathBuf, time::Duration};

use super::{Authority, AuthorityConfig, Grants, KeyProblem};
use crate::options::{InvalidValue, OptionValue, Problem, Secret, SecretUrl, Value, section};

section! {
    /// Authentication.
    pub struct AuthSettings at "auth" {
        /// Secret that tokens are signed with (HS256).
        hmac_secret: Option<Secret> = "",
        /// File with the secret that tokens are signed with (HS256); trailing line breaks are ignored.
        hmac_secret_file: Option<PathBuf> = "",
        /// Public keys that tokens are verified with (RS256, ES256, EdDSA): PEM, or the path of a PEM file.
        public_key: Option<String> = "",
        /// JSON Web Key Set that tokens are verified with: a URL, or the path of a file.
        jwks: Option<SecretUrl> = "",
        /// How often the key set is refreshed.
        jwks_refresh: Duration = "5m",
        /// How long a key that has left the key set is still accepted.
        jwks_keep: Duration = "10m",
        /// API keys of back ends, with full access to `/v1`: each at least 20 characters, or `sha256:` and the 64 hexadecimal
        /// digits of a key's SHA-256.
        api_keys: Vec<Secret> = "",
        /// The key of operators, at least 20 characters: opens the dashboard at `/admin`, has full access to `/v1`, and can drain a node.
        /// None: the dashboard is closed.
        admin_key: Option<Secret> = "",
        /// Required `iss` of a token.
        issuer: Option<String> = "",
        /// Accepted `aud` values of a token; one match is enough.
        audience: Vec<String> = "",
        /// Name of a cookie that may carry a token.
        cookie: Option<String> = "",
        /// Whether Socket.IO clients may send a token with their HTTP requests (header, cookie, `?token=`). Set it to false if a
        /// proxy puts tokens of its own there.
        http: bool = "true",
        /// Grants of a token without `rooms`: rules `pattern=permission,permission`, separated by `;` or white space.
        grants: Grants = "*=join,publish,history,presence,signal,read,write",
        /// How long a connection stays open after its token has expired, for the client to send a new one.
        grace: Duration = "25s",
        /// Clock skew tolerated when checking `exp` and `nbf`.
        leeway: Duration = "5s",
        /// Lets anyone connect from anywhere under any name if no key is configured.
        allow_anyone: bool = "false",
    }
}

impl OptionValue for Grants {
    const METAVAR: &'static str = "RULES";

    fn expected() -> String {
        "rules such as *=join,publish;team:*=history, with the permissions join, publish, history, presence and signal".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        let text = match value {
            Value::Text(text) | Value::Bare(text) => text.clone(),
            Value::Items(rules) => rules.join(";"),
            Value::Tables(_) => String::from("="),
        };
        <Self as OptionValue>::parse(&text)
            .ok_or_else(|| InvalidValue::expected(<Self as OptionValue>::expected()))
    }
}

impl AuthSettings {
    /// Whether a key to verify tokens is configured; if not, the server is open.
    pub(crate) fn has_key(&self) -> bool {
        self.hmac_secret.is_some()
            || self.hmac_secret_file.is_some()
            || self.public_key.is_some()
            || self.jwks.is_some()
    }

    /// The secret that tokens are signed with, from the option or the file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn signing_secret(&self) -> io::Result<Option<Secret>> {
        match (&self.hmac_secret, &self.hmac_secret_file) {
            (Some(secret), _) => Ok(Some(secret.clone())),
            (None, Some(file)) => {
                let text = fs::read_to_string(file)?;
                Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
            }
            (None, None) => Ok(None),
        }
    }

    /// Creates the authority.
    ///
    /// # Errors
    /// Every key that cannot be used.
    pub(crate) fn authority(&self) -> Result<Authority, Vec<KeyProblem>> {
        Authority::new(AuthorityConfig {
            hmac_secret: self.hmac_secret.clone(),
            hmac_secret_file: self.hmac_secret_file.clone(),
            public_key: self.public_key.clone(),
            jwks: self.jwks.clone(),
            api_keys: self.api_keys.clone(),
            admin_key: self.admin_key.clone(),
            jwks_refresh: self.jwks_refresh,
            jwks_keep: self.jwks_keep,
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            default_grants: self.grants.clone(),
            leeway: self.leeway,
        })
    }

    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        let mut settings = self.clone();
        if self.hmac_secret.is_some() && self.hmac_secret_file.is_some() {
            problems.push(Problem::rule(
                &["auth.hmac_secret", "auth.hmac_secret_file"],
                "both are set; keep one",
            ));
            (settings.hmac_secret, settings.hmac_secret_file) = (None, None);
        }
        // Creating an authority reads every key; it is dropped right away.
        let key_problems = settings.authority().err().unwrap_or_default();
        problems.extend(key_problems.into_iter().map(Problem::from));
    }
}

impl From<KeyProblem> for Problem {
    fn from(problem: KeyProblem) -> Self {
        Self::rule(&[problem.option], problem.what)
    }
}
