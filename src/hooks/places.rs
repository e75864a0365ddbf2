//! The places of an endpoint: how many calls are under way to it at once, who waits for one, and that no client has them all.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::FutureExt;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::HookFailure;
use crate::limits::{Holder, KeyedCounter, Permit};

/// Most calls that wait for each place: more would not get one in time.
const WAITING_PER_PLACE: usize = 100;

/// A client's requests have this part of the places.
const SHARES: usize = 8;

/// But as many as this, if that leaves half of the places to others.
const MIN_SHARE: usize = 4;

/// The places of an endpoint.
pub(super) struct Places {
    size: usize,
    all: Semaphore,
    waiting: AtomicUsize,
    /// Of clients with calls that no connection has made: the places of each.
    shares: Arc<KeyedCounter<Holder, Share>>,
}

/// Made when the first call of a client needs it.
type Share = OnceLock<Arc<Semaphore>>;

/// A place of a call, until dropped.
pub(super) struct Place<'a> {
    _place: SemaphorePermit<'a>,
    _turn: Option<OwnedSemaphorePermit>,
    _client: Option<Permit<Holder, Share>>,
}

impl Places {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            all: Semaphore::new(size),
            waiting: AtomicUsize::new(0),
            shares: Arc::default(),
        }
    }

    /// Waits for a place, in the order of those who wait. A connection has one call at a time, and so one place; `client` is who has made
    /// a call without one, and first waits until less than its share of places is taken.
    ///
    /// # Errors
    /// `Busy` if there is none until then, or too many wait already.
    pub(super) async fn take(
        &self,
        client: Option<&Holder>,
        until: Instant,
    ) -> Result<Place<'_>, HookFailure> {
        let share = (self.size / SHARES).max(MIN_SHARE.min(self.size.div_ceil(2)));
        // It has no more than its share of what may wait, either.
        let most = share + share.saturating_mul(WAITING_PER_PLACE);
        let client = match client {
            Some(client) => {
                let client = self.shares.take(client.clone(), most);
                Some(client.ok_or(HookFailure::Busy)?)
            }
            None => None,
        };
        let turns = client.as_ref().map(|client| {
            let turns = client.shared();
            turns.get_or_init(|| Arc::new(Semaphore::new(share)))
        });
        let taken = match self.acquire(turns).now_or_never() {
            Some(taken) => taken,
            None => {
                let _waiting = Waiting::begin(self)?;
                let taken = timeout_at(until, self.acquire(turns)).await;
                taken.map_err(|_| HookFailure::Busy)?
            }
        };
        let (place, turn) = taken.map_err(|_| HookFailure::Busy)?;
        Ok(Place {
            _place: place,
            _turn: turn,
            _client: client,
        })
    }

    /// A place, after a turn of the client's own.
    async fn acquire(
        &self,
        turns: Option<&Arc<Semaphore>>,
    ) -> Result<(SemaphorePermit<'_>, Option<OwnedSemaphorePermit>), AcquireError> {
        let turn = match turns {
            Some(turns) => Some(turns.clone().acquire_owned().await?),
            None => None,
        };
        Ok((self.all.acquire().await?, turn))
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.size - self.all.available_permits().min(self.size)
    }

    /// How many calls wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Counts a call that waits, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(places: &'a Places) -> Result<Self, HookFailure> {
        let most = places.size.saturating_mul(WAITING_PER_PLACE);
        let waiting = Self(&places.waiting);
        match places.waiting.fetch_add(1, Ordering::Relaxed) < most {
            true => Ok(waiting),
            false => Err(HookFailure::Busy),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
