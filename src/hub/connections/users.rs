//! The users of this node: their connections, their status, and when they were last seen.
//!
//! The state that a user's connections share lives as long as one of them. A bounded number of offline users is
//! remembered, so that a page reload keeps the status and others can be told when a user was last online.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::value::RawValue;

use crate::{
    auth::Principal,
    hub::{
        rooms::status_pacing::StatusPacing,
        rooms::user_status::{ONLINE, UserStatus, online},
    },
    model::{ConnectionId, Timestamp, UserId},
    sync::lock,
};

/// Offline users that are remembered, in each of two generations.
const MAX_OFFLINE_USERS: usize = 50_000;

/// What all connections of a user to this node share.
#[derive(Debug, Default)]
pub(in crate::hub) struct LocalUser(Mutex<LocalUserState>);

#[derive(Debug, Default)]
struct LocalUserState {
    connections: Vec<ConnectionId>,
    /// The status that it has set; `None`: none yet.
    status: Option<Arc<str>>,
    info: Option<Arc<RawValue>>,
    /// When it set its status, on this node or another; 0: never.
    changed: Timestamp,
    /// Shown as away for inactivity.
    idle: bool,
    last_active: Option<Instant>,
    /// When its last connection ended.
    left: Option<Instant>,
    status_pacing: StatusPacing,
}

/// A user whose last connection has ended.
#[derive(Clone, Debug)]
pub(in crate::hub) struct OfflineUser {
    pub(in crate::hub) ts: Timestamp,
    offline_since: Instant,
    status: Option<Arc<str>>,
    info: Option<Arc<RawValue>>,
    changed: Timestamp,
}

impl LocalUser {
    /// Adds a connection. The user has its earlier status again if it has `returned` within the grace time.
    pub(in crate::hub) fn add_connection(
        &self,
        connection: ConnectionId,
        returned: Option<OfflineUser>,
        grace: Duration,
        now: Instant,
    ) {
        let mut state = lock(&self.0);
        // This outlives the user's last connection while a task still holds that; its status does not.
        if state
            .left
            .take()
            .is_some_and(|left| now.saturating_duration_since(left) > grace)
        {
            *state = LocalUserState::default();
        }
        if let Some(offline) = returned
            && state.connections.is_empty()
        {
            state.status = offline.status;
            state.info = offline.info;
            state.changed = offline.changed;
        }
        if state.connections.is_empty() {
            // Most users have one.
            state.connections.reserve_exact(1);
        }
        state.connections.push(connection);
        state.last_active = Some(now);
    }

    /// Removes a connection; if it was the last one, returns what is to be remembered.
    pub(in crate::hub) fn remove_connection(
        &self,
        connection: ConnectionId,
        now: Instant,
    ) -> Option<OfflineUser> {
        let mut state = lock(&self.0);
        state.connections.retain(|other| *other != connection);
        if !state.connections.is_empty() {
            return None;
        }
        state.left = Some(now);
        Some(OfflineUser {
            ts: Timestamp::now(),
            offline_since: now,
            status: state.status.clone(),
            info: state.info.clone(),
            changed: state.changed,
        })
    }

    pub(in crate::hub) fn connections(&self) -> Vec<ConnectionId> {
        lock(&self.0).connections.clone()
    }

    /// The user's status. `principal` is called after the time of the last change has been read: a refresh replaces the identity
    /// first and calls [`profile_changed`](Self::profile_changed) after that, and an old name must not come with the new time.
    pub(in crate::hub) fn user_status(
        &self,
        principal: impl FnOnce() -> Arc<Principal>,
    ) -> UserStatus {
        let state = lock(&self.0);
        let principal = principal();
        UserStatus {
            name: principal.name.clone(),
            status: state.status.clone().unwrap_or_else(online),
            info: state.info.clone().or_else(|| principal.info.clone()),
            idle: state.idle,
            changed: state.changed,
        }
    }

    /// Sets the status; without `info` that stays as it is.
    pub(in crate::hub) fn set_status(&self, status: Arc<str>, info: Option<Arc<RawValue>>) {
        let mut state = lock(&self.0);
        state.status = Some(status);
        state.idle = false;
        if info.is_some() {
            state.info = info;
        }
        state.changed = Timestamp::now_after(state.changed);
    }

    /// Marks the profile as changed: the user's token has another name or info.
    pub(in crate::hub) fn profile_changed(&self) {
        let mut state = lock(&self.0);
        state.changed = Timestamp::now_after(state.changed);
    }

    /// The last status that the user has set, on this node or another.
    pub(in crate::hub) fn last_update(&self) -> UserStatus {
        let state = lock(&self.0);
        UserStatus {
            name: None,
            idle: false,
            status: state.status.clone().unwrap_or_else(online),
            info: state.info.clone(),
            changed: state.changed,
        }
    }

    /// Applies a status that the user has set on another node, if it is newer than the one known here; true if it is.
    pub(in crate::hub) fn apply_remote_status(&self, remote: UserStatus) -> bool {
        let mut state = lock(&self.0);
        if remote.changed <= state.changed {
            return false;
        }
        state.status = Some(remote.status);
        state.info = remote.info;
        state.changed = remote.changed;
        state.idle = false;
        true
    }

    /// When a change of the status may be sent to the members of the user's rooms; `None`: now.
    pub(in crate::hub) fn next_notice_at(&self, now: Instant) -> Option<Instant> {
        lock(&self.0).status_pacing.schedule(now)
    }

    /// Notes activity of the user; true if it was shown as away for inactivity.
    pub(in crate::hub) fn mark_active(&self, now: Instant) -> bool {
        let mut state = lock(&self.0);
        state.last_active = Some(now);
        std::mem::take(&mut state.idle)
    }

    /// Shows the user as away if it has been inactive for `after`; true if that is new. A status that the user has set, other than
    /// online, stays.
    pub(in crate::hub) fn mark_idle(&self, after: Duration, now: Instant) -> bool {
        let mut state = lock(&self.0);
        let inactive = state
            .last_active
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

/// The users that went offline last, in two generations: the older one is dropped when the newer one is full.
#[derive(Debug, Default)]
pub(in crate::hub) struct LastSeen(Mutex<[HashMap<UserId, OfflineUser>; 2]>);

impl LastSeen {
    pub(in crate::hub) fn insert(&self, user: UserId, offline: OfflineUser) {
        let mut generations = lock(&self.0);
        let [newer, older] = &mut *generations;
        if newer.len() >= MAX_OFFLINE_USERS {
            *older = std::mem::take(newer);
        }
        newer.insert(user, offline);
    }

    pub(in crate::hub) fn get(&self, user: &UserId) -> Option<OfflineUser> {
        let generations = lock(&self.0);
        generations
            .iter()
            .find_map(|users| users.get(user).cloned())
    }

    /// A user that went offline not longer than `grace` ago.
    pub(in crate::hub) fn within(
        &self,
        user: &UserId,
        grace: Duration,
        now: Instant,
    ) -> Option<OfflineUser> {
        self.get(user)
            .filter(|offline| now.duration_since(offline.offline_since) <= grace)
    }
}

#[cfg(test)]
mod tests;
