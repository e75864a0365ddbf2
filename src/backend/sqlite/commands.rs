//! The commands of the writer.

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{document_change::DocumentChange, member_changes::MemberChange, tables::sessions};
use crate::{
    backend::{Appended, Draft, LogTime, ReadMarker, StoredSession},
    error::Result,
    model::{Pid, RoomKey, Seq, Timestamp, UserId},
};

/// A request to the writer, with where its reply goes.
pub(super) enum WriteCommand {
    /// Store a draft.
    Append {
        draft: Draft,
        reply: oneshot::Sender<Result<Appended>>,
        /// The draft's share of the bytes that may be queued; released on drop.
        permit: OwnedSemaphorePermit,
    },
    /// Advance a user's read marker, in order with the drafts.
    AdvanceMarker {
        room: RoomKey,
        user: UserId,
        seq: Seq,
        reply: oneshot::Sender<Result<ReadMarker>>,
    },
    /// Change a stored session.
    ChangeSession {
        change: SessionChange,
        reply: oneshot::Sender<Result<()>>,
    },
    /// Look for changes of members. They are queued elsewhere, without waiting.
    Wake,
    /// Change who is in which room.
    ChangeMembers(Vec<MemberChange>),
    /// Take one step of removing the members of earlier processes. The reply is whether there is more to do.
    RemoveStaleMembers {
        reply: oneshot::Sender<Result<bool>>,
    },
    /// Save where an endpoint of the outbox stands.
    SaveEndpoint {
        endpoint: String,
        state: String,
        reply: oneshot::Sender<Result<()>>,
    },
    /// Change a document. The reply is what [`DocumentChange::apply`] returns.
    ChangeDocument {
        change: DocumentChange,
        reply: oneshot::Sender<Result<u64>>,
        /// The bytes' share of those that may be queued; released on drop.
        permit: OwnedSemaphorePermit,
    },
    /// Add an event to the outbox for each document that changed before a time and is to be told of.
    TellDocuments {
        before: Timestamp,
        reply: oneshot::Sender<Result<()>>,
    },
    /// Record that a room is still in use.
    TouchRoom { room: RoomKey },
    /// Take one step of a trim pass over all rooms. The reply is whether there is more to do.
    Trim {
        now: LogTime,
        reply: oneshot::Sender<Result<bool>>,
    },
    /// Find out whether writing works.
    Probe { reply: oneshot::Sender<Result<()>> },
    /// Store what was accepted, then stop.
    Close,
    /// Run something on the connection, for a test.
    #[cfg(test)]
    WithConnection(Box<dyn FnOnce(&Connection) + Send>),
}

impl WriteCommand {
    /// The room that the command is about.
    pub(super) fn room(&self) -> Option<&RoomKey> {
        match self {
            Self::Append { draft, .. } => Some(&draft.room),
            Self::AdvanceMarker { room, .. } | Self::TouchRoom { room, .. } => Some(room),
            _ => None,
        }
    }
}

/// A change of stored sessions.
pub(super) enum SessionChange {
    Save(StoredSession),
    End(Pid),
    Delete(Pid),
    DeleteOfUser(UserId),
    RemoveRoom(UserId, RoomKey, String),
}

impl SessionChange {
    /// Makes the change, and returns whether anything was written.
    pub(super) fn apply(&self, db: &Connection, now: LogTime) -> rusqlite::Result<bool> {
        let rows = match self {
            Self::Save(session) => sessions::upsert(db, session)?,
            Self::End(pid) => sessions::end(db, *pid, now.now)?,
            Self::Delete(pid) => sessions::delete(db, *pid)?,
            Self::DeleteOfUser(user) => sessions::delete_of_user(db, user)?,
            Self::RemoveRoom(user, room, reason) => sessions::remove_room(db, user, room, reason)?,
        };
        Ok(rows > 0)
    }
}
