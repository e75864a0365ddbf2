//! Keeps a rate: says when messages are due, more exactly than timers of a runtime, whose unit is a millisecond.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use super::shared::{Phase, Shared};

/// The shortest sleep: messages due within it are sent together, and their latency says so.
const STEP: Duration = Duration::from_micros(100);

/// Says of each message that it is due, in the turns of the senders, until sending ends.
pub(super) fn run(shared: &Arc<Shared>, rate: f64) {
    let senders = shared.senders.len();
    let start = shared.sending_since();
    let mut turn = 0;
    while shared.phase() == Phase::Sending {
        let elapsed = shared.now().saturating_sub(start);
        // The turn 0 is due at once.
        let due = (elapsed as f64 * rate / 1e6) as usize + 1;
        for late in turn..due.min(turn + senders) {
            let sender = late % senders;
            // So many of the turns are the sender's.
            let number = (due - 1 - sender) / senders + 1;
            shared.senders[sender]
                .due
                .store(number as u32, Ordering::Relaxed);
            shared.wake_sender(sender);
        }
        turn = due;
        let next = start + (turn as f64 * 1e6 / rate) as u64;
        let wait = Duration::from_micros(next.saturating_sub(shared.now()));
        // A long wait must not outlast the sending.
        thread::sleep(wait.clamp(STEP, Duration::from_millis(50)));
    }
}
