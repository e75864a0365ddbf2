//! How many events a room has per second: two counters, whatever the traffic.

use std::time::{Duration, Instant};

/// The time over which a rate is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// The events of the present window and the one before. The rate is that of the last [`WINDOW`], with the events of the earlier
/// window taken to be spread evenly: the sliding window counter that rate limiters of proxies use.
#[derive(Debug, Default)]
pub(in crate::hub) struct EventRate {
    started: Option<Instant>,
    current: u32,
    previous: u32,
}

impl EventRate {
    /// Counts an event.
    pub(in crate::hub) fn record(&mut self, now: Instant) {
        let started = *self.started.get_or_insert(now);
        let elapsed = now.saturating_duration_since(started);
        if elapsed >= WINDOW {
            let is_next = elapsed < 2 * WINDOW;
            self.previous = if is_next { self.current } else { 0 };
            self.started = Some(if is_next { started + WINDOW } else { now });
            self.current = 0;
        }
        self.current = self.current.saturating_add(1);
    }

    /// Events per second over the last ten seconds.
    pub(in crate::hub) fn per_second(&self, now: Instant) -> f64 {
        let Some(started) = self.started else {
            return 0.0;
        };
        let age = now.saturating_duration_since(started).as_secs_f64() / WINDOW.as_secs_f64();
        let (current, previous) = (f64::from(self.current), f64::from(self.previous));
        let events = match age {
            0.0..1.0 => current + previous * (1.0 - age),
            1.0..2.0 => current * (2.0 - age),
            _ => 0.0,
        };
        events / WINDOW.as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
