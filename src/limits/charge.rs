//! The memory reserved for one buffer that grows: a body, a fragmented message, a queue.

use std::sync::Arc;

use super::pool::{Exhausted, Holder, Pool, Reservation};

/// Reservations grow and shrink by this many bytes, so that the pool is not locked for each byte.
const STEP: usize = 16 << 10;

/// The bytes of one buffer. A small one is free; a larger one is reserved in full, in steps.
#[derive(Debug)]
pub struct Charge {
    pool: Arc<Pool>,
    holder: Holder,
    free: usize,
    reservation: Option<Reservation>,
}

impl Charge {
    /// An empty charge. Up to `free` bytes nothing is reserved.
    pub fn new(pool: Arc<Pool>, holder: Holder, free: usize) -> Self {
        Self {
            pool,
            holder,
            free,
            reservation: None,
        }
    }

    /// Resizes the reservation to a total of `bytes`. Call it before the buffer grows, and after it has shrunk.
    ///
    /// # Errors
    /// If the pool or the holder's share is exhausted; the reservation stays as it was.
    pub fn resize(&mut self, bytes: usize) -> Result<(), Exhausted> {
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

    /// The number of bytes reserved.
    pub fn units(&self) -> usize {
        self.reservation.as_ref().map_or(0, Reservation::units)
    }
}

#[cfg(test)]
mod tests;
