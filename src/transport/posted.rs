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
mod tests;
