//! When a commit is worth waiting for more: one for fifty messages costs little more than one for five.
//!
//! Senders that wait for an ack send the next message soon after it. So while the writer is busy, those of the last commit
//! are about to be back, and the writer waits a moment for them. It never waits for a sender that is alone, nor after a
//! pause.

use std::time::{Duration, Instant};

/// Fewer commands than this are not worth waiting for.
const FEW: usize = 4;

/// So many commands share the cost of a commit well enough.
const ENOUGH: usize = 256;

/// After a pause of this length, those of the last commit are not about to be back.
const PAUSE: Duration = Duration::from_millis(5);

/// How long one wait is. The operating system adds about 50 µs.
pub(super) const STEP: Duration = Duration::from_micros(50);

/// How long all waits before one commit may be: as long as the last one took, within these.
const MIN_WAIT: Duration = Duration::from_micros(200);
const MAX_WAIT: Duration = Duration::from_millis(2);

/// What the next commit knows of the last one.
#[derive(Default)]
pub(super) struct GroupCommit {
    last: Option<LastCommit>,
}

struct LastCommit {
    commands: usize,
    took: Duration,
    ended: Instant,
}

/// How long a commit may wait, and for how many commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    until: Instant,
    commands: usize,
}

impl GroupCommit {
    /// Records a commit that has just ended.
    pub(super) fn record(&mut self, commands: usize, took: Duration, now: Instant) {
        self.last = Some(LastCommit {
            commands,
            took,
            ended: now,
        });
    }

    /// How long to wait with commands that came just now. `waited` of them came while the last commit was being made, from
    /// others than those whose commands were in it.
    pub(super) fn patience(&self, waited: usize, now: Instant) -> Option<Patience> {
        let last = self.last.as_ref()?;
        let commands = (last.commands + waited).min(ENOUGH);
        let is_busy = now.duration_since(last.ended) < PAUSE;
        (is_busy && commands >= FEW && waited < commands).then(|| Patience {
            until: now + last.took.clamp(MIN_WAIT, MAX_WAIT),
            commands,
        })
    }
}

impl Patience {
    /// Whether to wait once more, with so many commands.
    pub(super) fn lasts(self, commands: usize, now: Instant) -> bool {
        commands < self.commands && now < self.until
    }
}

#[cfg(test)]
mod tests;
