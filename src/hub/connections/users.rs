//! Users across rooms: which connections each has, what it shows of itself, when it was last seen.
//!
//! What is shared by a user's connections lives as long as one of them; of users that have gone a bounded number is
//! remembered, so that a reload keeps the status and others can be told when somebody was last here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::value::RawValue;

use crate::hub::{
    lock,
    rooms::{
        status_pacing::StatusPacing,
        user_status::{ONLINE, UserStatus},
    },
};
use crate::{
    auth::Principal,
    model::{ConnectionId, Timestamp, UserId},
};

/// Users that have gone and are remembered, in each of two generations.
const REMEMBERED: usize = 50_000;

/// What all connections of a user share.
#[derive(Debug, Default)]
pub(in crate::hub) struct LocalUser(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    connections: Vec<ConnectionId>,
    /// What it said last; `None`: nothing yet.
    status: Option<Arc<str>>,
    info: Option<Arc<RawValue>>,
    /// When it said that, here or on another node; 0: never.
    changed: Timestamp,
    /// Shown as away because it has done nothing.
    idle: bool,
    active: Option<Instant>,
    /// When the last of its connections went.
    left: Option<Instant>,
    status_pacing: StatusPacing,
}

/// A user that has gone.
#[derive(Clone, Debug)]
pub(in crate::hub) struct Gone {
    pub(in crate::hub) ts: Timestamp,
    at: Instant,
    status: Option<Arc<str>>,
    info: Option<Arc<RawValue>>,
    changed: Timestamp,
}

impl LocalUser {
    /// A connection has come; what the user showed before it went counts again if it is `back` in time.
    pub(in crate::hub) fn connected(
        &self,
        connection: ConnectionId,
        back: Option<Gone>,
        grace: Duration,
        now: Instant,
    ) {
        let mut state = lock(&self.0);
        // This outlives a user's last connection while somebody still holds that; what it showed does not.
        if state
            .left
            .take()
            .is_some_and(|left| now.saturating_duration_since(left) > grace)
        {
            *state = State::default();
        }
        if let Some(gone) = back
            && state.connections.is_empty()
        {
            state.status = gone.status;
            state.info = gone.info;
            state.changed = gone.changed;
        }
        state.connections.push(connection);
        state.active = Some(now);
    }

    /// A connection has gone; if it was the last, what is to be remembered.
    pub(in crate::hub) fn disconnected(
        &self,
        connection: ConnectionId,
        now: Instant,
    ) -> Option<Gone> {
        let mut state = lock(&self.0);
        state.connections.retain(|other| *other != connection);
        if !state.connections.is_empty() {
            return None;
        }
        state.left = Some(now);
        Some(Gone {
            ts: Timestamp::now(),
            at: now,
            status: state.status.clone(),
            info: state.info.clone(),
            changed: state.changed,
        })
    }

    pub(in crate::hub) fn connections(&self) -> Vec<ConnectionId> {
        lock(&self.0).connections.clone()
    }

    /// How the user is. Its identity is asked for after the time of what was said is known: whoever replaces it says so
    /// ([`renewed`](Self::renewed)) after that, and an old name must not come with the new time.
    pub(in crate::hub) fn user_status(
        &self,
        principal: impl FnOnce() -> Arc<Principal>,
    ) -> UserStatus {
        let state = lock(&self.0);
        let principal = principal();
        UserStatus {
            name: principal.name.clone(),
            status: state.status.clone().unwrap_or_else(|| ONLINE.into()),
            info: state.info.clone().or_else(|| principal.info.clone()),
            idle: state.idle,
            changed: state.changed,
        }
    }

    /// The user says how it is; without `info` that stays as it was.
    pub(in crate::hub) fn say(&self, status: Arc<str>, info: Option<Arc<RawValue>>) {
        let mut state = lock(&self.0);
        state.status = Some(status);
        state.idle = false;
        if info.is_some() {
            state.info = info;
        }
        state.changed = Timestamp::now_after(state.changed);
    }

    /// What the user's token says of it is different.
    pub(in crate::hub) fn renewed(&self) {
        let mut state = lock(&self.0);
        state.changed = Timestamp::now_after(state.changed);
    }

    /// What the user said last, here or on another node.
    pub(in crate::hub) fn word(&self) -> UserStatus {
        let state = lock(&self.0);
        UserStatus {
            name: None,
            idle: false,
            status: state.status.clone().unwrap_or_else(|| ONLINE.into()),
            info: state.info.clone(),
            changed: state.changed,
        }
    }

    /// Takes over what the user said on another node, if that was later than what is known here; true if so.
    pub(in crate::hub) fn hear(&self, word: UserStatus) -> bool {
        let mut state = lock(&self.0);
        if word.changed <= state.changed {
            return false;
        }
        state.status = Some(word.status);
        state.info = word.info;
        state.changed = word.changed;
        state.idle = false;
        true
    }

    /// When the members of the user's rooms are told what has changed now; `None`: at once.
    pub(in crate::hub) fn told_at(&self, now: Instant) -> Option<Instant> {
        lock(&self.0).status_pacing.schedule(now)
    }

    /// The user has done something; true if it was shown as away for doing nothing.
    pub(in crate::hub) fn acted(&self, now: Instant) -> bool {
        let mut state = lock(&self.0);
        state.active = Some(now);
        std::mem::take(&mut state.idle)
    }

    /// Shows the user as away if it has done nothing for `after`; true if that is new. Whoever said how it is, other
    /// than online, is taken by its word.
    pub(in crate::hub) fn idles(&self, after: Duration, now: Instant) -> bool {
        let mut state = lock(&self.0);
        let inactive = state
            .active
            .is_some_and(|active| now.duration_since(active) >= after);
        let plain = state
            .status
            .as_deref()
            .is_none_or(|status| status == ONLINE);
        if state.idle || !inactive || !plain {
            return false;
        }
        state.idle = true;
        true
    }
}

/// Users that have gone, the last of them: two generations, of which the older one goes when the newer one is full.
#[derive(Debug, Default)]
pub(in crate::hub) struct LastSeen(Mutex<[HashMap<UserId, Gone>; 2]>);

impl LastSeen {
    pub(in crate::hub) fn note(&self, user: UserId, gone: Gone) {
        let mut generations = lock(&self.0);
        let [newer, older] = &mut *generations;
        if newer.len() >= REMEMBERED {
            *older = std::mem::take(newer);
        }
        newer.insert(user, gone);
    }

    pub(in crate::hub) fn of(&self, user: &UserId) -> Option<Gone> {
        let generations = lock(&self.0);
        generations
            .iter()
            .find_map(|users| users.get(user).cloned())
    }

    /// What a user showed who went not longer than `grace` ago.
    pub(in crate::hub) fn within(
        &self,
        user: &UserId,
        grace: Duration,
        now: Instant,
    ) -> Option<Gone> {
        self.of(user)
            .filter(|gone| now.duration_since(gone.at) <= grace)
    }
}

#[cfg(test)]
mod tests;
