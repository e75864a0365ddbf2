//! Reads a key set from a file or fetches it from a URL, with limits on time and size.
//!
//! Returns bytes; `jwks` parses them.

use std::{
    error::Error as _,
    fmt,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Client, StatusCode, Url, redirect};

use crate::options::SecretUrl;

/// The timeout for fetching a key set.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum size of a key set.
const MAX_BYTES: usize = 256 * 1024;
const MAX_REDIRECTS: usize = 3;

/// Why a key set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("invalid URL")]
    Url(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the HTTP client cannot be created")]
    Client(#[source] reqwest::Error),
    #[error("the file cannot be read")]
    File(#[source] io::Error),
    #[error("fetching it failed")]
    Fetch(#[source] reqwest::Error),
    #[error("the server responded with {0}")]
    Status(StatusCode),
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("it is not a JSON Web Key Set, {{ \"keys\": [...] }}")]
    NotASet(#[source] serde_json::Error),
    #[error("it has {keys} keys, more than the maximum of {max}")]
    TooManyKeys { keys: usize, max: usize },
    #[error("it has no usable key: expected RSA of at least 2048 bits, EC P-256 or Ed25519")]
    NoKeys,
}

impl LoadError {
    /// The message with all causes.
    pub(super) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// A file, or a URL and the client to fetch it with.
pub(super) enum JwksSource {
    File(PathBuf),
    Url { url: Url, client: Client },
}

impl fmt::Debug for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JwksSource::File(path) => path.display().fmt(f),
            JwksSource::Url { url, .. } => SecretUrl::new(url.as_str()).fmt(f),
        }
    }
}

impl JwksSource {
    /// Text that begins with `http://` or `https://` is a URL, anything else a path.
    pub(super) fn parse(location: &str) -> Result<Self, LoadError> {
        if !location.starts_with("http://") && !location.starts_with("https://") {
            return Ok(Self::File(location.into()));
        }
        let url = Url::parse(location).map_err(|error| LoadError::Url(Box::new(error)))?;
        let client = client(&url).map_err(LoadError::Client)?;
        Ok(Self::Url { url, client })
    }

    /// Whether keys are fetched over a connection that others can tamper with.
    pub(super) fn is_exposed(&self) -> bool {
        matches!(self, Self::Url { url, .. } if url.scheme() == "http" && !is_loopback(url))
    }

    /// Reads the set.
    pub(super) async fn load(&self) -> Result<Vec<u8>, LoadError> {
        match self {
            Self::Url { url, client } => fetch(client, url.clone()).await,
            Self::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || Self::read_file(&path))
                    .await
                    .unwrap_or_else(|error| Err(LoadError::File(io::Error::other(error))))
            }
        }
    }

    /// Reads a file, now.
    pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, LoadError> {
        let file = std::fs::File::open(path).map_err(LoadError::File)?;
        let mut text = Vec::new();
        file.take(MAX_BYTES as u64 + 1)
            .read_to_end(&mut text)
            .map_err(LoadError::File)?;
        if text.len() > MAX_BYTES {
            return Err(LoadError::TooLarge);
        }
        Ok(text)
    }
}

fn client(url: &Url) -> reqwest::Result<Client> {
    let client = Client::builder()
        .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::limited(MAX_REDIRECTS))
        // A redirect must not downgrade to plain HTTP.
        .https_only(url.scheme() == "https");
    if is_loopback(url) {
        client.no_proxy().build()
    } else {
        client.build()
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

async fn fetch(client: &Client, url: Url) -> Result<Vec<u8>, LoadError> {
    let failed = |error: reqwest::Error| LoadError::Fetch(error.without_url());
    let mut response = client.get(url).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(LoadError::Status(response.status()));
    }
    let mut text = Vec::new();
    while let Some(part) = response.chunk().await.map_err(failed)? {
        if text.len() + part.len() > MAX_BYTES {
            return Err(LoadError::TooLarge);
        }
        text.extend_from_slice(&part);
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
