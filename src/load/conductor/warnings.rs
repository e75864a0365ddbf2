//! What the user is told at once: without it, a load that runs into a limit would only show small numbers.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Instant};

use super::Watcher;
use crate::{
    load::{
        counters::Totals,
        plan::{Auth, Pace, Protocol},
        refusals::Refusal,
        shared::{Phase, Shared},
    },
    sync::lock,
};

/// Different refusals that are told while the load runs; the report has all.
const TOLD: usize = 5;

/// What has been told.
#[derive(Default)]
pub(super) struct Warnings {
    told: BTreeSet<Refusal>,
    paced: bool,
    /// The messages sent at the last look, and when that was.
    last: Option<(Instant, u64)>,
}

impl Warnings {
    /// Tells of refusals that are new.
    pub(super) fn refusals(&mut self, shared: &Shared, watcher: &mut dyn Watcher) {
        let refusals = lock(&shared.refusals);
        for refusal in refusals.keys() {
            if self.told.len() < TOLD && !self.told.contains(refusal) {
                watcher.warn(&refusal.to_string());
                self.told.insert(refusal.clone());
            }
        }
    }

    /// Tells of a rate that the server will not take.
    pub(super) fn rate_to_expect(&mut self, shared: &Shared, watcher: &mut dyn Watcher) {
        let plan = &shared.plan;
        let allowed = shared.allowed_rate.load(Ordering::Relaxed);
        if let Pace::Open { rate } = plan.pace
            && allowed > 0
            && rate / plan.senders as f64 > f64::from(allowed)
        {
            self.paced = true;
            watcher.warn(&format!(
                "{:.0} messages a second of each sender are more than the server reads of a connection: raise \
                 limits.messages_per_second of the server ({allowed}; 0: no limit), or have more --senders",
                rate / plan.senders as f64
            ));
        }
        let is_one_user = matches!(&plan.auth, Auth::Tokens(tokens) if tokens.len() < plan.senders);
        if is_one_user && matches!(plan.protocol, Protocol::Switchboard { .. }) {
            watcher.warn(
                "several senders have one token, and so are one user: limits.user_messages_per_second of the server is for all of \
                 them together",
            );
        }
    }

    /// Tells once that the server reads senders no faster than its limits allow, which looks like a slow server.
    pub(super) fn paced(&mut self, shared: &Shared, totals: &Totals, watcher: &mut dyn Watcher) {
        let now = Instant::now();
        let last = self.last.replace((now, totals.sent));
        let allowed = f64::from(shared.allowed_rate.load(Ordering::Relaxed));
        let is_closed = matches!(shared.plan.pace, Pace::Closed { .. });
        if self.paced || allowed == 0.0 || !is_closed || shared.phase() != Phase::Sending {
            return;
        }
        let Some((then, sent)) = last else { return };
        let rate = (totals.sent - sent) as f64 / now.duration_since(then).as_secs_f64();
        if rate / shared.plan.senders as f64 > 0.8 * allowed {
            self.paced = true;
            watcher.warn(&format!(
                "senders reach limits.messages_per_second of the server, which reads each of them at {allowed} messages a second: \
                 raise it (0: no limit) to measure the server instead of its limit, and limits.user_messages_per_second with it"
            ));
        }
    }
}
