//! A body that a client sends: copied as it arrives into memory that was reserved before, within its bounds of size and time.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::lock;
use crate::limits::{Charge, Exhausted};

/// Bytes of a body that cost nothing of the budget: ordinary requests arrive while others use it up.
pub(super) const FREE: usize = 4 << 10;

/// Memory that a body begins with beyond that.
const BEGIN: usize = 16 << 10;

/// A body that has arrived, and what is reserved for it.
#[derive(Debug)]
pub(super) struct Posted {
    bytes: Vec<u8>,
    charge: Charge,
}

/// What is reserved for a request's body, kept until the request has been answered: among its extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Option<Charge>>>);

impl Kept {
    /// Keeps what is reserved for as long as this, or a clone, lives.
    pub(super) fn keep(&self, charge: Charge) {
        *lock(&self.0) = Some(charge);
    }
}

/// Why a body was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// It is larger than it may be.
    TooLarge,
    /// It took longer than it may.
    TooSlow,
    /// It ended early, or is malformed.
    Broken,
    /// There is no memory for it.
    NoMemory(Exhausted),
}

impl Posted {
    /// Takes a body of `most` bytes at the most, `within` this time.
    pub(super) async fn take(
        body: Body,
        most: usize,
        within: Duration,
        charge: Charge,
    ) -> Result<Self, NotTaken> {
        // Refused before it is asked for, if it says so itself.
        if body.size_hint().lower() > most as u64 {
            return Err(NotTaken::TooLarge);
        }
        let posted = Self {
            bytes: Vec::new(),
            charge,
        };
        let read = timeout(within, posted.read(body, most));
        read.await.unwrap_or(Err(NotTaken::TooSlow))
    }

    async fn read(mut self, mut body: Body, most: usize) -> Result<Self, NotTaken> {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| NotTaken::Broken)?;
            // Copied: a part of what the connection has read would keep all of that.
            if let Ok(part) = frame.into_data() {
                self.add(&part, most)?;
            }
        }
        Ok(self)
    }

    fn add(&mut self, part: &[u8], most: usize) -> Result<(), NotTaken> {
        let bytes = self.bytes.len() + part.len();
        if bytes > most {
            return Err(NotTaken::TooLarge);
        }
        let room = self.bytes.capacity();
        if bytes > room {
            let wanted = match bytes <= FREE {
                true => FREE,
                false => bytes.max(2 * room).max(BEGIN),
            };
            let wanted = wanted.min(most);
            self.charge.cover(wanted).map_err(NotTaken::NoMemory)?;
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// What is reserved for it, for whatever was made of it.
    pub(super) fn into_charge(self) -> Charge {
        self.charge
    }
}

impl Deref for Posted {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::{StreamExt, stream};

    use super::*;
    use crate::limits::{Holder, Pool};

    const LONG: Duration = Duration::from_secs(10);
    const MOST: usize = 1 << 20;

    fn charge(pool: &Arc<Pool>) -> Charge {
        Charge::new(pool.clone(), Holder::Backend, FREE)
    }

    fn in_parts(parts: usize, size: usize) -> Body {
        let part = Bytes::from(vec![7; size]);
        let parts = std::iter::repeat_n(part, parts).map(Ok::<_, Infallible>);
        Body::from_stream(stream::iter(parts))
    }

    #[tokio::test]
    async fn a_body_is_reserved_before_it_is_kept_and_given_back_with_it() {
        let pool = Pool::new(MOST);
        for (parts, size) in [(1, 1), (FREE, 1), (100, 1000), (1, MOST), (MOST / 512, 512)] {
            let body = in_parts(parts, size);
            let posted = Posted::take(body, MOST, LONG, charge(&pool)).await.unwrap();
            assert_eq!(*posted, vec![7; parts * size]);
            assert!(posted.bytes.capacity() <= pool.used().max(FREE));
            assert!(pool.used() <= 2 * posted.len() + BEGIN);
            drop(posted);
            assert_eq!(pool.used(), 0);
        }
    }

    #[tokio::test]
    async fn a_body_for_which_there_is_no_memory_is_not_read_any_further() {
        let pool = Pool::new(100_000);
        let (parts, taken) = (Body::from_stream, Arc::new(()));
        let counted = taken.clone();
        let body = stream::repeat_with(move || {
            let _ = &counted;
            Ok::<_, Infallible>(Bytes::from(vec![7; 1000]))
        });
        let refused = Posted::take(parts(body), MOST, LONG, charge(&pool)).await;
        assert_eq!(refused.unwrap_err(), NotTaken::NoMemory(Exhausted::Pool));
        assert_eq!((pool.used(), Arc::strong_count(&taken)), (0, 1));
        let small = Posted::take(in_parts(4, 1000), MOST, LONG, charge(&Pool::new(1))).await;
        assert_eq!(small.unwrap().len(), 4000, "ordinary requests cost nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_holds_its_memory_for_its_time() {
        let pool = Pool::new(MOST);
        let begun = stream::iter([Ok::<_, Infallible>(Bytes::from(vec![7; 100_000]))]);
        let endless = Body::from_stream(begun.chain(stream::pending()));
        let taking = tokio::spawn(Posted::take(endless, MOST, LONG, charge(&pool)));
        tokio::time::sleep(LONG / 2).await;
        assert!(pool.used() >= 100_000);
        assert_eq!(taking.await.unwrap().unwrap_err(), NotTaken::TooSlow);
        assert_eq!(pool.used(), 0);
    }
}
