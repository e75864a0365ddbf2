//! The sessions of the embedded log: changed by the writer in order with messages, found by the readers, deleted by trimming.

use async_trait::async_trait;

use super::{
    commands::{SessionChange, WriteCommand},
    log::SqliteLog,
};
use crate::{
    backend::{SessionStore, StoredSession},
    error::Result,
    model::{Pid, RoomKey, UserId},
};

#[async_trait]
impl SessionStore for SqliteLog {
    async fn save(&self, session: StoredSession) -> Result<()> {
        self.change(SessionChange::Save(session)).await
    }

    async fn end(&self, pid: Pid) -> Result<()> {
        self.change(SessionChange::End(pid)).await
    }

    async fn forget(&self, pid: Pid) -> Result<()> {
        self.change(SessionChange::Delete(pid)).await
    }

    async fn forget_user(&self, user: UserId) -> Result<()> {
        self.change(SessionChange::DeleteOfUser(user)).await
    }

    async fn remove_from_room(&self, user: UserId, room: RoomKey, reason: String) -> Result<()> {
        self.change(SessionChange::RemoveRoom(user, room, reason))
            .await
    }

    async fn find(&self, pid: Pid) -> Result<Option<StoredSession>> {
        self.check_open()?;
        let expired = (self.clock)().before(self.session_window);
        self.readers.session(pid, expired).await
    }
}

impl SqliteLog {
    async fn change(&self, change: SessionChange) -> Result<()> {
        self.check_open()?;
        self.request(|reply| WriteCommand::ChangeSession { change, reply })
            .await
    }
}

#[cfg(test)]
mod tests;
