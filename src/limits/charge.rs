//! The memory of one thing that grows: a body, a message in parts, a queue.

use std::sync::Arc;

use super::pool::{Exhausted, Holder, Pool, Reservation};

/// Reservations grow and shrink by this many bytes, so that the pool is not locked for each byte.
const STEP: usize = 16 << 10;

/// The bytes of one thing. Nothing is reserved while it is small; once it is not, all of it is, in steps.
#[derive(Debug)]
pub struct Charge {
    pool: Arc<Pool>,
    holder: Holder,
    free: usize,
    reservation: Option<Reservation>,
}

impl Charge {
    /// An empty charge; up to `free` bytes are not charged.
    pub fn new(pool: Arc<Pool>, holder: Holder, free: usize) -> Self {
        Self {
            pool,
            holder,
            free,
            reservation: None,
        }
    }

    /// Adjusts the reservation to a total of `bytes`, before the thing grows or after it has shrunk.
    ///
    /// # Errors
    /// If the pool or the holder's share is exhausted; the reservation stays as it was.
    pub fn cover(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let target = match bytes <= self.free {
            true => 0,
            false => bytes.div_ceil(STEP).saturating_mul(STEP),
        };
        let reserved = self.units();
        if target == 0 {
            self.reservation = None;
        } else if target > reserved {
            match &mut self.reservation {
                Some(reservation) => reservation.grow(target - reserved)?,
                None => self.reservation = Some(self.pool.take(self.holder.clone(), target)?),
            }
        } else if let Some(reservation) = &mut self.reservation
            && reserved - target > STEP
        {
            reservation.shrink(reserved - target);
        }
        Ok(())
    }

    /// Bytes that are reserved.
    pub fn units(&self) -> usize {
        self.reservation.as_ref().map_or(0, Reservation::units)
    }

    /// The reservation, for the next owner of the bytes.
    pub fn into_reservation(self) -> Option<Reservation> {
        self.reservation
    }
}

#[cfg(test)]
mod tests;
