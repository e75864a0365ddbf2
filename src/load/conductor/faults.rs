//! Faults on purpose: cuts at random, and storms.

use std::time::Duration;

use rand::RngExt;

use crate::load::{
    counters::Totals,
    plan::{Faults, Plan},
    shared::{Command, Shared},
};

/// Which faults have happened, and which are next.
pub(super) struct FaultSchedule {
    faults: Faults,
    clients: usize,
    cuts: u64,
    next_storm: Option<Duration>,
    storm: Option<Storm>,
    storms: Vec<Duration>,
}

/// A storm that is not over.
#[derive(Clone, Copy)]
struct Storm {
    began: Duration,
    /// How many connections had come before it, and how many have to come back.
    came: u64,
    expected: u64,
}

impl FaultSchedule {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            faults: plan.faults,
            clients: plan.clients(),
            cuts: 0,
            next_storm: plan.faults.storm_every,
            storm: None,
            storms: Vec::new(),
        }
    }

    /// Does what is due `elapsed` after the begin.
    pub(super) fn act(&mut self, shared: &Shared, elapsed: Duration, totals: &Totals) {
        let due = (elapsed.as_secs_f64() * self.faults.cuts_per_second) as u64;
        for _ in self.cuts..due {
            shared.command(rand::rng().random_range(0..self.clients), Command::Cut);
        }
        self.cuts = due;
        if !self.is_over(elapsed, totals) {
            return;
        }
        if let (Some(next), Some(every)) = (self.next_storm, self.faults.storm_every)
            && elapsed >= next
        {
            self.next_storm = Some(elapsed + every);
            self.storm = Some(Storm {
                began: elapsed,
                came: totals.came,
                expected: totals.connected(),
            });
            (0..self.clients).for_each(|client| shared.command(client, Command::Storm));
        }
    }

    /// Whether everybody is back from the last storm; notes how long that took.
    pub(super) fn is_over(&mut self, elapsed: Duration, totals: &Totals) -> bool {
        let Some(storm) = self.storm else {
            return true;
        };
        let is_over = totals.came - storm.came >= storm.expected;
        // Who never comes back is counted elsewhere.
        if is_over || elapsed - storm.began > Duration::from_secs(30) {
            self.storms.push(elapsed - storm.began);
            self.storm = None;
        }
        self.storm.is_none()
    }

    /// How long each storm lasted.
    pub(super) fn storms(self) -> Vec<Duration> {
        self.storms
    }
}
