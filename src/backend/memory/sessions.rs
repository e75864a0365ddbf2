//! The sessions in memory, under the same mutex as the messages; they are lost with the process.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use async_trait::async_trait;

use super::{MemoryLog, TRIM_STEP};
use crate::{
    backend::{LogTime, SessionStore, StoredSession, closed},
    error::Result,
    model::{Pid, RoomKey, Timestamp, UserId},
};

/// All sessions, active and ended ones.
#[derive(Default)]
pub(super) struct StoredSessions {
    sessions: HashMap<Pid, SessionEntry>,
    /// The ended ones, in the order in which they ended. A session that was saved again or deleted since is still listed.
    ended: VecDeque<(Timestamp, Pid)>,
}

struct SessionEntry {
    session: StoredSession,
    ended: Option<Timestamp>,
}

#[async_trait]
impl SessionStore for MemoryLog {
    async fn save(&self, session: StoredSession) -> Result<()> {
        let now = (self.clock)();
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        rooms.trim_step(now);
        rooms.sessions.save(session);
        Ok(())
    }

    async fn end(&self, pid: Pid) -> Result<()> {
        let now = (self.clock)();
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        rooms.trim_step(now);
        rooms.sessions.end(pid, now);
        Ok(())
    }

    async fn forget(&self, pid: Pid) -> Result<()> {
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        rooms.sessions.sessions.remove(&pid);
        Ok(())
    }

    async fn forget_user(&self, user: UserId) -> Result<()> {
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        let sessions = &mut rooms.sessions.sessions;
        sessions.retain(|_, entry| entry.session.user != user);
        Ok(())
    }

    async fn remove_from_room(&self, user: UserId, room: RoomKey, reason: String) -> Result<()> {
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        let sessions = rooms.sessions.sessions.values_mut();
        for session in sessions.map(|entry| &mut entry.session) {
            if session.user == user && session.namespace == room.namespace {
                let before = session.rooms.len();
                session.rooms.retain(|(name, _)| *name != room.room);
                if session.rooms.len() < before {
                    session.removals.push((room.room.clone(), reason.clone()));
                }
            }
        }
        Ok(())
    }

    async fn find(&self, pid: Pid) -> Result<Option<StoredSession>> {
        let now = (self.clock)();
        let rooms = self.lock();
        let rooms = rooms.as_ref().ok_or_else(closed)?;
        let expired = now.before(rooms.config.session_window);
        Ok(rooms.sessions.find(pid, expired))
    }
}

impl StoredSessions {
    fn save(&mut self, session: StoredSession) {
        let entry = SessionEntry {
            session,
            ended: None,
        };
        self.sessions.insert(entry.session.pid, entry);
    }

    fn end(&mut self, pid: Pid, now: LogTime) {
        if let Some(entry) = self.sessions.get_mut(&pid)
            && entry.ended.is_none()
        {
            entry.ended = Some(now.now);
            self.ended.push_back((now.now, pid));
        }
    }

    fn find(&self, pid: Pid, expired: Timestamp) -> Option<StoredSession> {
        let entry = self.sessions.get(&pid)?;
        let is_live = entry.ended.is_none_or(|ended| ended >= expired);
        is_live.then(|| entry.session.clone())
    }

    /// Deletes the next few that ended longer ago than `window`.
    pub(super) fn trim_step(&mut self, window: Duration, now: LogTime) {
        let expired = now.before(window);
        for _ in 0..TRIM_STEP {
            self.delete_one_expired(expired);
        }
    }

    /// Deletes all that ended longer ago than `window`.
    #[cfg(test)]
    pub(super) fn trim(&mut self, window: Duration, now: LogTime) {
        while self.delete_one_expired(now.before(window)) {}
    }

    /// Deletes the next one that ended before `expired`, and returns whether there was one.
    fn delete_one_expired(&mut self, expired: Timestamp) -> bool {
        let Some((ended, pid)) = self.ended.pop_front_if(|(ended, _)| *ended < expired) else {
            return false;
        };
        if let Some(entry) = self.sessions.get(&pid)
            && entry.ended == Some(ended)
        {
            self.sessions.remove(&pid);
        }
        true
    }
}
