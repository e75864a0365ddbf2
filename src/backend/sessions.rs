//! Sessions: what a client that comes back is given again.
//!
//! They lie in the log's store, so that the next process, or another node, can resume them.

use async_trait::async_trait;

use crate::{
    error::Result,
    model::{ConnectionId, Namespace, Offset, Pid, RoomKey, RoomName, UserId},
};

/// A connection of one user to one namespace, as its client can resume it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// Its secret name.
    pub pid: Pid,
    /// The namespace.
    pub namespace: Namespace,
    /// Who it speaks for; nobody else may resume it.
    pub user: UserId,
    /// The connection's public id, which it keeps when it is resumed.
    pub connection: ConnectionId,
    /// The rooms it is in, in the order of joining, each with the offset after which it is to be given its messages.
    pub rooms: Vec<(RoomName, Offset)>,
    /// What an embedding application keeps with it, as text that only the hub reads.
    pub application: Option<String>,
    /// The rooms it was taken out of, each with the reason that its client may not have been told yet.
    pub lost: Vec<(RoomName, String)>,
    /// How often it had been claimed when it was found; 0 of a new one, and where there is one node.
    pub claims: u64,
}

/// Keeps sessions: those that go on for as long as they do, and those that have ended for a window of time after that.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Stores the session as one that goes on, in place of what was stored under its `pid`. Answers once it is stored
    /// as safely as a message. Calls take effect in the order in which they are first polled to their place in the
    /// queue; dropping the future does not take back what was asked.
    async fn save(&self, session: StoredSession) -> Result<()>;

    /// As [`save`](Self::save), for a connection that begins or goes on with the session on this node. From then on no other node
    /// can store it or note its end, until that one claims it. Refused if another node has claimed it since it was found: a claim
    /// that comes late, from a node that stood still, must not take it from where its client is by now.
    async fn claim(&self, session: StoredSession) -> Result<()> {
        self.save(session).await
    }

    /// Notes that the session has ended now, unless it had ended before or is not stored. Answers once that is stored.
    async fn end(&self, pid: Pid) -> Result<()>;

    /// Forgets the session, unless it goes on on another node.
    async fn forget(&self, pid: Pid) -> Result<()>;

    /// Forgets every session of a user, those that go on and those that have ended, over all namespaces.
    async fn forget_user(&self, user: UserId) -> Result<()>;

    /// Takes a room out of every session of a user, those that go on and those that have ended, and notes the reason with each
    /// that was in it.
    async fn expel(&self, user: UserId, room: RoomKey, reason: String) -> Result<()>;

    /// The session, unless it ended longer ago than the window. Sees whatever was answered before.
    ///
    /// One that went on when the process was killed counts as ended when its store was opened again.
    async fn find(&self, pid: Pid) -> Result<Option<StoredSession>>;
}
