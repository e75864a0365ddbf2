//! A request's body in memory: copied as it arrives into memory that is reserved first, within bounds of size and time.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::{
    limits::{Charge, Exhausted},
    sync::lock,
};

/// Bytes of a body that are not charged: ordinary requests go through while others use up the budget.
pub(crate) const UNCHARGED_BYTES: usize = 4 << 10;

/// First allocation for a larger body.
const INITIAL_BYTES: usize = 16 << 10;

/// A body that has arrived, and its memory reservation.
#[derive(Debug)]
pub(crate) struct BufferedBody {
    bytes: Vec<u8>,
    charge: Charge,
}

/// Keeps the reservation of a request's body until the response is there: an extension of the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyReservation(Arc<Mutex<Option<Charge>>>);

impl BodyReservation {
    /// Keeps a reservation until this and all its clones are dropped.
    pub(super) fn keep(&self, charge: Charge) {
        *lock(&self.0) = Some(charge);
    }
}

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is larger than the limit.
    TooLarge,
    /// It took too long to arrive.
    TooSlow,
    /// It ended early or is malformed.
    Broken,
    /// The memory budget is exhausted.
    Exhausted(Exhausted),
}

impl BufferedBody {
    /// Reads a body of at most `max_bytes` within `time`.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub(crate) async fn read(
        body: Body,
        max_bytes: usize,
        time: Duration,
        charge: Charge,
    ) -> Result<Self, BodyError> {
        // Refused before it is sent, if it declares its length.
        if body.size_hint().lower() > max_bytes as u64 {
            return Err(BodyError::TooLarge);
        }
        let empty = Self {
            bytes: Vec::new(),
            charge,
        };
        let filled = timeout(time, empty.fill(body, max_bytes));
        filled.await.unwrap_or(Err(BodyError::TooSlow))
    }

    async fn fill(mut self, mut body: Body, max_bytes: usize) -> Result<Self, BodyError> {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| BodyError::Broken)?;
            // Copied: a slice would keep the connection's whole read buffer alive.
            if let Ok(chunk) = frame.into_data() {
                self.add(&chunk, max_bytes)?;
            }
        }
        Ok(self)
    }

    fn add(&mut self, chunk: &[u8], max_bytes: usize) -> Result<(), BodyError> {
        let bytes = self.bytes.len() + chunk.len();
        if bytes > max_bytes {
            return Err(BodyError::TooLarge);
        }
        let capacity = self.bytes.capacity();
        if bytes > capacity {
            let new_capacity = match bytes <= UNCHARGED_BYTES {
                true => UNCHARGED_BYTES,
                false => bytes.max(2 * capacity).max(INITIAL_BYTES),
            };
            let new_capacity = new_capacity.min(max_bytes);
            self.charge
                .resize(new_capacity)
                .map_err(BodyError::Exhausted)?;
            self.bytes.reserve_exact(new_capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// The bytes and their reservation.
    pub(crate) fn into_bytes(self) -> (Bytes, Charge) {
        (self.bytes.into(), self.charge)
    }

    /// The reservation, for what was parsed from the body.
    pub(crate) fn into_charge(self) -> Charge {
        self.charge
    }
}

impl Deref for BufferedBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
