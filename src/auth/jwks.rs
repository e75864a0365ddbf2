//! A JSON Web Key Set that rotates while the server runs.
//!
//! [`KeySet`] implements rotation without I/O. [`Jwks`] refreshes the set in the background, and at once when a token names an
//! unknown key. Knows nothing of claims.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    jwks_source::{JwksSource, LoadError},
    jwt::UnverifiedToken,
    keys::Key,
};
use crate::{
    error::{Error, Result},
    retry::{Backoff, Episode, LogLimiter, log_at, log_in_bursts},
};

/// The maximum number of keys in a set, and of retired keys.
const MAX_KEYS: usize = 64;
/// The minimum time between two refreshes that unknown keys cause. Tokens that arrive in between wait for the next one,
/// because the key may be new.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum delay before a failed refresh is retried.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// The keys known at one moment.
#[derive(Clone, Debug, Default)]
struct KeySet {
    current: Vec<Key>,
    /// Keys that have left the set, and until when they are accepted.
    retired: Vec<(Key, Instant)>,
    /// Whether the last refresh failed, or there was none yet.
    stale: bool,
}

/// The outcome of checking a signature against the known keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignatureCheck {
    Valid,
    Invalid,
    /// The token names an unknown key; a refresh may bring it.
    UnknownKey,
}

impl KeySet {
    /// The key set after a refresh returned `fresh`. A key that has left is accepted for another `keep`, because tokens that
    /// it signed are still in use.
    fn replaced_by(&self, fresh: Vec<Key>, now: Instant, keep: Duration) -> Self {
        let left = self.current.iter().map(|key| (key.clone(), now + keep));
        let earlier = self.retired.iter().cloned();
        let retired = left
            .chain(earlier)
            .filter(|(key, until)| *until > now && !fresh.iter().any(|new| new.is_same(key)))
            .take(MAX_KEYS)
            .collect();
        Self {
            current: fresh,
            retired,
            stale: false,
        }
    }

    fn accepted(&self, now: Instant) -> impl Iterator<Item = &Key> {
        let retired = self.retired.iter();
        self.current.iter().chain(
            retired
                .filter(move |(_, until)| *until > now)
                .map(|(key, _)| key),
        )
    }

    fn check(&self, token: &UnverifiedToken<'_>, now: Instant) -> SignatureCheck {
        if self.accepted(now).any(|key| token.is_signed_with(key)) {
            return SignatureCheck::Valid;
        }
        let known = self.accepted(now).any(|key| match &token.kid {
            Some(kid) => key.has_id(kid),
            None => key.fits(token.algorithm, None),
        });
        // A set has no symmetric keys, so a refresh cannot help such a token.
        if known || token.algorithm == Algorithm::HS256 {
            SignatureCheck::Invalid
        } else {
            SignatureCheck::UnknownKey
        }
    }
}

/// A key set that is refreshed periodically.
#[derive(Debug)]
pub(super) struct Jwks {
    source: JwksSource,
    refresh: Duration,
    keep: Duration,
    keys: RwLock<Arc<KeySet>>,
    /// Refreshes that have ended, successful or not.
    refreshes: AtomicU64,
    state: Mutex<RefreshState>,
}

/// Locked during a refresh, so that there is one at a time.
#[derive(Debug, Default)]
struct RefreshState {
    text: Option<Vec<u8>>,
    /// When an unknown key last caused a refresh.
    on_demand_at: Option<Instant>,
    failures: LogLimiter,
}

impl Jwks {
    /// A set at `location`, an `http(s)` URL or a path. A file is read now, a URL by [`Jwks::refresh`].
    pub(super) fn new(
        location: &str,
        refresh: Duration,
        keep: Duration,
    ) -> Result<Self, LoadError> {
        let source = JwksSource::parse(location)?;
        if source.is_exposed() {
            tracing::warn!(%source, "the JWKS is fetched over plain HTTP: an attacker on the network can inject keys");
        }
        let mut jwks = Self {
            source,
            refresh,
            keep,
            keys: RwLock::new(Arc::new(KeySet {
                stale: true,
                ..KeySet::default()
            })),
            refreshes: AtomicU64::new(0),
            state: Mutex::new(RefreshState::default()),
        };
        if let JwksSource::File(path) = &jwks.source {
            let text = JwksSource::read_file(path)?;
            let keys = parse(&text)?;
            if keys.is_empty() {
                return Err(LoadError::NoKeys);
            }
            jwks.replace(keys);
            jwks.state.get_mut().text = Some(text);
        }
        Ok(jwks)
    }

    /// Whether a key of the set signed `token`; refreshes the set if the key is unknown.
    ///
    /// # Errors
    /// `unavailable` if no key is known because the set could not be fetched.
    pub(super) async fn verifies(self: &Arc<Self>, token: &UnverifiedToken<'_>) -> Result<bool> {
        let seen = self.refreshes.load(Ordering::Acquire);
        let outcome = self.known().check(token, Instant::now());
        if outcome != SignatureCheck::UnknownKey {
            return Ok(outcome == SignatureCheck::Valid);
        }
        // In a task: if this request is cancelled, others still wait for the same refresh.
        let jwks = Arc::clone(self);
        let refresh = tokio::spawn(async move { jwks.refresh_once(seen).await });
        if let Err(error) = refresh.await {
            tracing::error!(%error, "refreshing the JWKS was aborted");
        }
        let keys = self.known();
        match keys.check(token, Instant::now()) {
            SignatureCheck::Valid => Ok(true),
            SignatureCheck::UnknownKey => self.ready().map(|()| false),
            SignatureCheck::Invalid => Ok(false),
        }
    }

    /// Checks that a key is known.
    ///
    /// # Errors
    /// `unavailable` if no key is known because the set could not be fetched.
    pub(super) fn ready(&self) -> Result<()> {
        let keys = self.known();
        match keys.stale && keys.accepted(Instant::now()).next().is_none() {
            true => Err(
                Error::unavailable("the keys to verify tokens with are unavailable")
                    .retry_after(MAX_RETRY_DELAY),
            ),
            false => Ok(()),
        }
    }

    /// Refreshes the set unless that was done since `seen`. Made-up key ids must not make this server flood the key server, so
    /// a refresh waits until some time has passed since the last one; but they must not hide a new key either, so the
    /// refresh is delayed, not skipped.
    async fn refresh_once(&self, seen: u64) {
        let mut state = self.state.lock().await;
        if self.refreshes.load(Ordering::Acquire) != seen {
            return;
        }
        if let Some(at) = state.on_demand_at {
            sleep_until(at + MIN_REFRESH_INTERVAL.min(self.refresh)).await;
        }
        state.on_demand_at = Some(Instant::now());
        self.refresh_with(&mut state).await;
    }

    /// Refreshes the set now. If that fails, the known keys stay.
    pub(super) async fn refresh(&self) {
        self.refresh_with(&mut *self.state.lock().await).await;
    }

    async fn refresh_with(&self, state: &mut RefreshState) {
        match self.source.load().await.and_then(|text| {
            let changed = state.text.as_ref() != Some(&text);
            let keys = changed.then(|| parse(&text)).transpose()?;
            Ok((text, keys))
        }) {
            Ok((text, keys)) => {
                if let Some(keys) = keys {
                    if keys.is_empty() {
                        tracing::warn!(source = %self.source, "the JWKS has no usable key");
                    }
                    self.replace(keys);
                } else {
                    self.set_stale(false);
                }
                state.text = Some(text);
                if let Some(Episode { lasted, times }) = state.failures.finish() {
                    tracing::info!(source = %self.source, ?lasted, times, "the JWKS is available again");
                }
            }
            Err(error) => {
                self.set_stale(true);
                log_at!(state.failures, warn, source = %self.source, error = %error.with_causes(),
                    "the JWKS is unavailable; keeping the known keys");
            }
        }
        self.refreshes.fetch_add(1, Ordering::Release);
    }

    /// Refreshes the set every `refresh` until `stop`.
    pub(super) async fn refresh_until(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(MAX_RETRY_DELAY / 8, MAX_RETRY_DELAY);
        loop {
            let wait = if self.known().stale {
                backoff.next_delay().min(self.refresh)
            } else {
                backoff.reset();
                self.refresh
            };
            let next_refresh = async {
                sleep(wait).await;
                self.refresh().await;
            };
            if stop.run_until_cancelled(next_refresh).await.is_none() {
                return;
            }
        }
    }

    fn known(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, fresh: Vec<Key>) {
        let next = self.known().replaced_by(fresh, Instant::now(), self.keep);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    fn set_stale(&self, stale: bool) {
        let known = self.known();
        if known.stale != stale {
            let next = KeySet {
                stale,
                ..KeySet::clone(&known)
            };
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        }
    }
}

/// Parses the usable keys of a set; others are skipped with a warning, as RFC 7517, section 5, asks.
fn parse(text: &[u8]) -> Result<Vec<Key>, LoadError> {
    #[derive(Deserialize)]
    struct JwkSet {
        keys: Vec<serde_json::Value>,
    }
    let JwkSet { keys } = serde_json::from_slice(text).map_err(LoadError::NotASet)?;
    if keys.len() > MAX_KEYS {
        return Err(LoadError::TooManyKeys {
            keys: keys.len(),
            max: MAX_KEYS,
        });
    }
    Ok(keys
        .iter()
        .enumerate()
        .filter_map(|(n, value)| {
            let kid = value.get("kid").and_then(serde_json::Value::as_str);
            let key = jsonwebtoken::jwk::Jwk::deserialize(value)
                .map_err(|_| super::keys::KeyError::Malformed)
                .and_then(|jwk| Key::from_jwk(&jwk));
            key.inspect_err(|reason| {
                log_in_bursts!(warn, n, kid, %reason, "skipped an unusable key of the JWKS");
            })
            .ok()
        })
        .collect())
}

#[cfg(test)]
mod tests;
