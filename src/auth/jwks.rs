//! Keys that come from a JSON Web Key Set and change while the server runs.
//!
//! [`KeySet`] is the rule of rotation, without I/O; [`Jwks`] reads the set again in the background and, when a
//! token names a key that is not known, at once. Knows nothing of claims.

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
    jwks_source::{LoadError, Source},
    jwt::Signed,
    keys::Key,
};
use crate::{
    error::{Error, Result},
    repeat::{Backoff, LogRate, Over, log_at, log_in_bursts},
};

/// Most keys of a set, and most keys that are remembered after they left it.
const MOST_KEYS: usize = 64;
/// Least time between two readings that unknown keys cause: who asks meanwhile waits for the next one, because the key may be new.
const ASKED_GAP: Duration = Duration::from_secs(1);
/// Longest time until a reading that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The keys that are known at one moment.
#[derive(Clone, Debug, Default)]
struct KeySet {
    current: Vec<Key>,
    /// Keys that left the set, and until when they are accepted.
    retired: Vec<(Key, Instant)>,
    /// The last reading did not succeed, or there was none yet.
    stale: bool,
}

/// What the keys at hand say about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Verified,
    Refused,
    /// The key that the token asks for is not here; another reading of the set may bring it.
    UnknownKey,
}

impl KeySet {
    /// What is in force once the set consists of `fresh`: a key that left is accepted for `keep` more, because
    /// tokens that it signed are still about.
    fn replaced_by(&self, fresh: Vec<Key>, now: Instant, keep: Duration) -> Self {
        let left = self.current.iter().map(|key| (key.clone(), now + keep));
        let earlier = self.retired.iter().cloned();
        let retired = left
            .chain(earlier)
            .filter(|(key, until)| *until > now && !fresh.iter().any(|new| new.is_same(key)))
            .take(MOST_KEYS)
            .collect();
        Self {
            current: fresh,
            retired,
            stale: false,
        }
    }

    fn in_force(&self, now: Instant) -> impl Iterator<Item = &Key> {
        let retired = self.retired.iter();
        self.current.iter().chain(
            retired
                .filter(move |(_, until)| *until > now)
                .map(|(key, _)| key),
        )
    }

    fn judge(&self, token: &Signed<'_>, now: Instant) -> Verdict {
        if self.in_force(now).any(|key| token.is_signed_with(key)) {
            return Verdict::Verified;
        }
        let known = self.in_force(now).any(|key| match &token.kid {
            Some(kid) => key.is_called(kid),
            None => key.fits(token.algorithm, None),
        });
        // A set has no symmetric keys, so that reading it again cannot help such a token.
        if known || token.algorithm == Algorithm::HS256 {
            Verdict::Refused
        } else {
            Verdict::UnknownKey
        }
    }
}

/// A key set that is read again and again.
#[derive(Debug)]
pub(super) struct Jwks {
    source: Source,
    refresh: Duration,
    keep: Duration,
    keys: RwLock<Arc<KeySet>>,
    /// Readings that have ended, well or not.
    readings: AtomicU64,
    reader: Mutex<Reader>,
}

/// Held while the set is read, so that there is one reading at a time.
#[derive(Debug, Default)]
struct Reader {
    text: Option<Vec<u8>>,
    asked: Option<Instant>,
    failures: LogRate,
}

impl Jwks {
    /// A set read from `place`, an `http(s)` URL or a path. A file is read now, a URL when [`Jwks::read`] is
    /// called.
    pub(super) fn new(place: &str, refresh: Duration, keep: Duration) -> Result<Self, LoadError> {
        let source = Source::parse(place)?;
        if source.is_exposed() {
            tracing::warn!(%source, "the JWKS comes over plain HTTP: whoever is on the way can put in keys");
        }
        let mut jwks = Self {
            source,
            refresh,
            keep,
            keys: RwLock::new(Arc::new(KeySet {
                stale: true,
                ..KeySet::default()
            })),
            readings: AtomicU64::new(0),
            reader: Mutex::new(Reader::default()),
        };
        if let Source::File(path) = &jwks.source {
            let text = Source::read_file(path)?;
            let keys = parse(&text)?;
            if keys.is_empty() {
                return Err(LoadError::NoKeys);
            }
            jwks.put(keys);
            jwks.reader.get_mut().text = Some(text);
        }
        Ok(jwks)
    }

    /// Whether a key of the set signed `token`; the set is read again when it may lack the key.
    ///
    /// `unavailable` when no key is known because the set could not be read.
    pub(super) async fn verifies(self: &Arc<Self>, token: &Signed<'_>) -> Result<bool> {
        let seen = self.readings.load(Ordering::Acquire);
        let verdict = self.known().judge(token, Instant::now());
        if verdict != Verdict::UnknownKey {
            return Ok(verdict == Verdict::Verified);
        }
        // A task of its own: if whoever asks goes away, those who wait for the same reading still get it.
        let jwks = Arc::clone(self);
        let asked = tokio::spawn(async move { jwks.read_for(seen).await });
        if let Err(error) = asked.await {
            tracing::error!(%error, "reading the JWKS ended early");
        }
        let keys = self.known();
        match keys.judge(token, Instant::now()) {
            Verdict::Verified => Ok(true),
            Verdict::UnknownKey => self.ready().map(|()| false),
            Verdict::Refused => Ok(false),
        }
    }

    /// `unavailable` when no key is known because the set could not be read.
    pub(super) fn ready(&self) -> Result<()> {
        let keys = self.known();
        match keys.stale && keys.in_force(Instant::now()).next().is_none() {
            true => Err(Error::unavailable(
                "the keys that tokens are checked with cannot be had now",
            )
            .retry_after(RETRY)),
            false => Ok(()),
        }
    }

    /// Reads the set unless that was done since `seen`. Made-up key ids must not make this server flood the one that has the
    /// keys, so a reading waits until some time has passed since the last one; and they must not keep a key that is new from being
    /// found, so it is not left out.
    async fn read_for(&self, seen: u64) {
        let mut reader = self.reader.lock().await;
        if self.readings.load(Ordering::Acquire) != seen {
            return;
        }
        if let Some(asked) = reader.asked {
            sleep_until(asked + ASKED_GAP.min(self.refresh)).await;
        }
        reader.asked = Some(Instant::now());
        self.read_with(&mut reader).await;
    }

    /// Reads the set now. A reading that fails keeps the keys that are known.
    pub(super) async fn read(&self) {
        self.read_with(&mut *self.reader.lock().await).await;
    }

    async fn read_with(&self, reader: &mut Reader) {
        match self.source.load().await.and_then(|text| {
            let changed = reader.text.as_ref() != Some(&text);
            let keys = changed.then(|| parse(&text)).transpose()?;
            Ok((text, keys))
        }) {
            Ok((text, keys)) => {
                if let Some(keys) = keys {
                    if keys.is_empty() {
                        tracing::warn!(source = %self.source, "the JWKS has no key that can be used");
                    }
                    self.put(keys);
                } else {
                    self.mark(false);
                }
                reader.text = Some(text);
                if let Some(over) = reader.failures.over() {
                    let Over { lasted, times } = over;
                    tracing::info!(source = %self.source, ?lasted, times, "the JWKS can be read again");
                }
            }
            Err(error) => {
                self.mark(true);
                log_at!(reader.failures, warn, source = %self.source, error = %error.whole(),
                    "the JWKS cannot be read; the keys known so far stay");
            }
        }
        self.readings.fetch_add(1, Ordering::Release);
    }

    /// Reads the set every `refresh` until `stop`.
    pub(super) async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let mut again = Backoff::new(RETRY / 8, RETRY);
        loop {
            let wait = if self.known().stale {
                again.next_wait().min(self.refresh)
            } else {
                again.reset();
                self.refresh
            };
            let turn = async {
                sleep(wait).await;
                self.read().await;
            };
            if stop.run_until_cancelled(turn).await.is_none() {
                return;
            }
        }
    }

    fn known(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, fresh: Vec<Key>) {
        let next = self.known().replaced_by(fresh, Instant::now(), self.keep);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    fn mark(&self, stale: bool) {
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

/// The keys of a set that can be used; the others are passed over with a warning, as RFC 7517, 5, asks.
fn parse(text: &[u8]) -> Result<Vec<Key>, LoadError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let Set { keys } = serde_json::from_slice(text).map_err(LoadError::NotASet)?;
    if keys.len() > MOST_KEYS {
        return Err(LoadError::TooManyKeys {
            keys: keys.len(),
            most: MOST_KEYS,
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
                log_in_bursts!(warn, n, kid, %reason, "a key of the JWKS is passed over");
            })
            .ok()
        })
        .collect())
}

#[cfg(test)]
mod tests;
