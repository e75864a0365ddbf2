//! What one thing that grows (a body, a message in parts, a queue) holds of a pool of bytes.

use std::sync::Arc;

use super::{Exhausted, Holder, Pool, Reservation};

/// Bytes that are reserved at once, so that the pool is not asked for each byte.
const STEP: usize = 16 << 10;

/// The bytes of one thing. Nothing is reserved for one that is small; one that is not is reserved for whole, in steps.
#[derive(Debug)]
pub struct Charge {
    pool: Arc<Pool>,
    holder: Holder,
    free: usize,
    reservation: Option<Reservation>,
}

impl Charge {
    /// Nothing so far; up to `free` bytes cost nothing.
    pub fn new(pool: Arc<Pool>, holder: Holder, free: usize) -> Self {
        Self {
            pool,
            holder,
            free,
            reservation: None,
        }
    }

    /// The thing is about to have so many bytes in all, or has so many left.
    ///
    /// # Errors
    /// What is exhausted; what was reserved stays so.
    pub fn cover(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let wanted = match bytes <= self.free {
            true => 0,
            false => bytes.div_ceil(STEP).saturating_mul(STEP),
        };
        let has = self.units();
        if wanted == 0 {
            self.reservation = None;
        } else if wanted > has {
            match &mut self.reservation {
                Some(reservation) => reservation.grow(wanted - has)?,
                None => self.reservation = Some(self.pool.take(self.holder.clone(), wanted)?),
            }
        } else if let Some(reservation) = &mut self.reservation
            && has - wanted > STEP
        {
            reservation.shrink(has - wanted);
        }
        Ok(())
    }

    /// Bytes that are reserved.
    pub fn units(&self) -> usize {
        self.reservation.as_ref().map_or(0, Reservation::units)
    }

    /// What is reserved, for whoever holds the bytes from now on.
    pub fn into_reservation(self) -> Option<Reservation> {
        self.reservation
    }
}

#[cfg(test)]
mod tests;
