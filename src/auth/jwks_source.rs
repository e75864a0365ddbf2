//! Where a key set is read from, within bounds of time and size.
//!
//! Brings bytes; what they say is `jwks`'s to judge.

use std::{
    error::Error as _,
    fmt,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Client, StatusCode, Url, redirect};

use crate::options::SecretUrl;

/// Longest time for a key set to arrive.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest key set, in bytes.
const MOST_BYTES: usize = 256 * 1024;
const MOST_REDIRECTS: usize = 3;

/// Why a key set could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("it is no valid URL")]
    Url(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
    #[error("the file cannot be read")]
    File(#[source] io::Error),
    #[error("it cannot be fetched")]
    Fetch(#[source] reqwest::Error),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("it has more than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("it is no JSON Web Key Set, {{ \"keys\": [...] }}")]
    NotASet(#[source] serde_json::Error),
    #[error("it has {keys} keys; at most {most} are taken")]
    TooManyKeys { keys: usize, most: usize },
    #[error("it has no key that can be used: RSA of at least 2048 bits, EC P-256 or Ed25519")]
    NoKeys,
}

impl LoadError {
    /// The failure with all its causes, for the log and for whoever starts the server.
    pub(super) fn whole(&self) -> String {
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
pub(super) enum Source {
    File(PathBuf),
    Url { url: Url, client: Client },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => path.display().fmt(f),
            Source::Url { url, .. } => SecretUrl::new(url.as_str()).fmt(f),
        }
    }
}

impl Source {
    /// What begins with `http://` or `https://` is a URL, everything else a path.
    pub(super) fn parse(place: &str) -> Result<Self, LoadError> {
        if !place.starts_with("http://") && !place.starts_with("https://") {
            return Ok(Self::File(place.into()));
        }
        let url = Url::parse(place).map_err(|error| LoadError::Url(Box::new(error)))?;
        let client = client(&url).map_err(LoadError::Client)?;
        Ok(Self::Url { url, client })
    }

    /// Whether keys travel where others can change them on the way.
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
        file.take(MOST_BYTES as u64 + 1)
            .read_to_end(&mut text)
            .map_err(LoadError::File)?;
        if text.len() > MOST_BYTES {
            return Err(LoadError::TooLarge);
        }
        Ok(text)
    }
}

fn client(url: &Url) -> reqwest::Result<Client> {
    let client = Client::builder()
        .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::limited(MOST_REDIRECTS))
        // A redirect must not lead from a protected place to an exposed one.
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
    let mut answer = client.get(url).send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(LoadError::Status(answer.status()));
    }
    let mut text = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(failed)? {
        if text.len() + part.len() > MOST_BYTES {
            return Err(LoadError::TooLarge);
        }
        text.extend_from_slice(&part);
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
