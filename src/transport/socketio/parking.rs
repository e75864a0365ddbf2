//! Takes tasks away from workers that have nothing to do.
//!
//! A task holds the memory of all that its worker might ever do, several kilobytes, and most connections are idle most of the time.
//! So a worker that has received nothing for a while gives its task up and is kept in its inbox, as what it is made of; the next
//! packet, the end of its socket, or the expiry of its token gives it a task again. A connection in use keeps its task.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior, interval},
};

use super::inbox::Inbox;
use crate::sync::lock;

/// How often workers are looked at. One that has received nothing from one look to the next is asked to give up its task.
const INTERVAL: Duration = Duration::from_secs(2);

/// A worker whose token expires sooner keeps its task.
const MIN_PARKED: Duration = Duration::from_secs(5);

/// Fewer deadlines than this are not looked through for those of connections that have ended.
const MIN_ENDED: usize = 1000;

/// The workers of the transport, as far as they have to be looked at.
pub(super) struct Parking {
    state: Mutex<ParkingState>,
    runtime: Handle,
}

#[derive(Default)]
struct ParkingState {
    /// Inboxes whose worker has a task.
    active: Vec<Weak<Inbox>>,
    /// When parked workers have to be resumed, the earliest first; and where the inbox is, which tells those of one moment apart.
    deadlines: BTreeMap<(Instant, usize), Weak<Inbox>>,
    /// Deadlines that were left when those of ended connections were removed.
    left: usize,
}

impl Parking {
    /// Begins to look at workers, until this is dropped. Needs a tokio runtime.
    pub(super) fn start() -> Arc<Self> {
        let parking = Arc::new(Self {
            state: Mutex::default(),
            runtime: Handle::current(),
        });
        let looking = Arc::downgrade(&parking);
        tokio::spawn(async move {
            let mut tick = interval(INTERVAL);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let Some(parking) = looking.upgrade() else {
                    return;
                };
                parking.look(Instant::now());
            }
        });
        parking
    }

    /// Where workers run.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// A worker has a task.
    pub(super) fn watch(&self, inbox: &Arc<Inbox>) {
        lock(&self.state).active.push(Arc::downgrade(inbox));
    }

    /// Whether a worker may be parked whose token expires then; it is resumed before that.
    pub(super) fn allows(&self, inbox: &Arc<Inbox>, expires_at: Option<Instant>) -> bool {
        let Some(at) = expires_at else {
            return true;
        };
        let allowed = at.saturating_duration_since(Instant::now()) > MIN_PARKED;
        if allowed && inbox.schedule(at) {
            let place = (at, Arc::as_ptr(inbox).addr());
            lock(&self.state)
                .deadlines
                .insert(place, Arc::downgrade(inbox));
        }
        allowed
    }

    /// Asks unused workers to give up their tasks, and resumes those whose token expires before the next looks.
    fn look(&self, now: Instant) {
        let (mut active, due) = {
            let mut state = lock(&self.state);
            let later = state.deadlines.split_off(&(now + MIN_PARKED, 0));
            let due = std::mem::replace(&mut state.deadlines, later);
            state.remove_ended();
            (std::mem::take(&mut state.active), due)
        };
        active.retain(|inbox| inbox.upgrade().is_some_and(|inbox| !inbox.ask_to_park()));
        lock(&self.state).active.append(&mut active);
        for ((at, _), inbox) in due {
            if let Some(inbox) = inbox.upgrade() {
                inbox.resume_scheduled(at);
            }
        }
    }
}

impl ParkingState {
    /// Removes the deadlines of connections that have ended, once they may be half of all: tokens may be good for days, and connections end
    /// after minutes.
    fn remove_ended(&mut self) {
        if self.deadlines.len() > 2 * self.left + MIN_ENDED {
            self.deadlines.retain(|_, inbox| inbox.strong_count() > 0);
            self.left = self.deadlines.len();
        }
    }
}

#[cfg(test)]
mod tests;
