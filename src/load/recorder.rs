//! Latencies, as a thread's clients record them.

use hdrhistogram::Histogram;

/// Times in microseconds.
pub(super) struct Recorder {
    pub(super) delivery: Histogram<u64>,
    pub(super) ack: Histogram<u64>,
    pub(super) connect: Histogram<u64>,
    pub(super) come_back: Histogram<u64>,
}

/// The longest time that is told from longer ones: ten minutes.
const LONGEST: u64 = 600_000_000;

impl Recorder {
    pub(super) fn new() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST, 3)
                .expect("these bounds are those of the documentation")
        };
        Self {
            delivery: histogram(),
            ack: histogram(),
            connect: histogram(),
            come_back: histogram(),
        }
    }

    pub(super) fn delivered(&mut self, took: u64) {
        self.delivery.saturating_record(took);
    }

    pub(super) fn acked(&mut self, took: u64) {
        self.ack.saturating_record(took);
    }

    pub(super) fn joined(&mut self, took: u64) {
        self.connect.saturating_record(took);
    }

    pub(super) fn came_back(&mut self, took: u64) {
        self.come_back.saturating_record(took);
    }

    /// Adds what another thread recorded.
    pub(super) fn add(&mut self, other: &Self) {
        let all = [
            (&mut self.delivery, &other.delivery),
            (&mut self.ack, &other.ack),
            (&mut self.connect, &other.connect),
            (&mut self.come_back, &other.come_back),
        ];
        for (own, other) in all {
            // Their bounds are the same.
            let _ = own.add(other);
        }
    }
}
