//! Stored sessions: what a client gets back when it reconnects.
//!
//! They are stored beside the log, so that the next process, or another node, can resume them.

use async_trait::async_trait;

use crate::{
    error::Result,
    model::{ConnectionId, Namespace, Offset, Pid, RoomKey, RoomName, UserId},
};

/// A connection of one user to one namespace, in the form in which its client can resume it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// Its secret id.
    pub pid: Pid,
    /// The namespace.
    pub namespace: Namespace,
    /// Its user; nobody else may resume it.
    pub user: UserId,
    /// The connection's public id, which it keeps when it is resumed.
    pub connection: ConnectionId,
    /// The rooms it is in, in the order of joining, each with the offset after which its messages are to be delivered.
    pub rooms: Vec<(RoomName, Offset)>,
    /// State of an embedding application, as text that only the hub reads.
    pub application: Option<String>,
    /// The rooms that it was removed from, each with a reason that its client may not have received yet.
    pub removals: Vec<(RoomName, String)>,
    /// How often it had been claimed when it was found; 0 for a new session, and with a single node.
    pub claim_count: u64,
}

/// Stores sessions: active ones, and ended ones for a window of time.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Stores the session as an active one, in place of what was stored under its `pid`. Returns once it is stored as
    /// durably as a message. Calls take effect in the order in which their futures first enter the queue; dropping the
    /// future does not cancel the change.
    async fn save(&self, session: StoredSession) -> Result<()>;

    /// As [`save`](Self::save), for a connection that begins or resumes the session on this node. From then on no other node
    /// can store or end it, until it claims the session itself.
    ///
    /// # Errors
    /// Fails if another node has claimed it since it was found: a late claim, from a node that was suspended, must not
    /// take the session from the node where its client is by now.
    async fn claim(&self, session: StoredSession) -> Result<()> {
        self.save(session).await
    }

    /// Ends the session now, unless it has ended before or is not stored. Returns once that is stored.
    async fn end(&self, pid: Pid) -> Result<()>;

    /// Deletes the session, unless it is active on another node.
    async fn forget(&self, pid: Pid) -> Result<()>;

    /// Deletes all sessions of a user, active and ended ones, in all namespaces.
    async fn forget_user(&self, user: UserId) -> Result<()>;

    /// Removes a room from all sessions of a user, active and ended ones, and stores the reason with each that was in it.
    async fn remove_from_room(&self, user: UserId, room: RoomKey, reason: String) -> Result<()>;

    /// Returns the session, unless it ended longer ago than the window. Sees every change that has returned before.
    ///
    /// A session that was active when the process was killed counts as ended when the store was opened again.
    async fn find(&self, pid: Pid) -> Result<Option<StoredSession>>;
}
