//! Sessions ([`SessionStore`]): a hash each, changed in order with the messages of its partition. The trimmer deletes those that
//! ended too long ago.
//!
//! An active session has an owner, the node of its connection. When that node is removed, its sessions are marked as ended.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::Value;
use serde::{Deserialize, Serialize};

use super::RedisLog;
use crate::{
    backend::{
        SessionStore, StoredSession,
        redis::{client::reply, keys::Partition, scripts},
    },
    error::{Error, Result},
    model::{ConnectionId, Namespace, Offset, Pid, RoomKey, RoomName, UserId},
    retry::log_rarely,
};

/// A session as it is stored.
#[derive(Serialize, Deserialize)]
struct SessionRecord {
    /// The log's incarnation that the offsets belong to.
    #[serde(default, rename = "life")]
    log_incarnation: String,
    namespace: Namespace,
    user: UserId,
    connection: ConnectionId,
    rooms: Vec<(RoomName, u64)>,
    /// A string, although it is JSON: scripts decode and encode the record, and would change what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    /// Omitted when empty: a script would encode an empty list as an object.
    #[serde(default, rename = "lost", skip_serializing_if = "Vec::is_empty")]
    removals: Vec<(RoomName, String)>,
}

#[async_trait]
impl SessionStore for RedisLog {
    async fn save(&self, session: StoredSession) -> Result<()> {
        self.store("save", session).await
    }

    async fn claim(&self, session: StoredSession) -> Result<()> {
        self.store("claim", session).await
    }

    async fn end(&self, pid: Pid) -> Result<()> {
        self.context.roster.remove_session(pid);
        let now = (self.context.clock)().now.0.to_string();
        let node = self.context.node.to_string();
        let ended = self.call(pid, &["end", &pid.reveal(), &now, &node]).await;
        if ended.is_err() {
            // The publisher compares the node's sessions with what is stored, and ends this one once Redis is back.
            let partition = Partition::of_session(pid);
            self.context.roster.recheck_partition(partition);
        }
        ended.map(|_| ())
    }

    async fn forget(&self, pid: Pid) -> Result<()> {
        self.context.roster.remove_session(pid);
        let node = self.context.node.to_string();
        let forget = ["forget", &pid.reveal(), &node];
        self.call(pid, &forget).await.map(|_| ())
    }

    async fn forget_user(&self, user: UserId) -> Result<()> {
        self.call_all(&["forget user", user.as_str()]).await
    }

    async fn remove_from_room(&self, user: UserId, room: RoomKey, reason: String) -> Result<()> {
        let (namespace, room) = (room.namespace.as_str(), room.room.as_str());
        self.call_all(&["expel", user.as_str(), namespace, room, &reason])
            .await
    }

    async fn find(&self, pid: Pid) -> Result<Option<StoredSession>> {
        self.check_open()?;
        let expired = (self.context.clock)().before(self.session_window);
        let mut command = redis::cmd("HMGET");
        command
            .arg(self.context.keys.session(pid))
            .arg("body")
            .arg("ended")
            .arg("claims");
        let connection = self.connections.of(Partition::of_session(pid));
        let (body, ended, claim_count): (Option<String>, Option<u64>, Option<u64>) =
            reply::parse(connection.query(command).await?)?;
        let Some(body) = body.filter(|_| ended.is_none_or(|ended| ended >= expired.0)) else {
            return Ok(None);
        };
        let Ok(record) = serde_json::from_str::<SessionRecord>(&body) else {
            log_rarely!(
                warn,
                "a session stored in Redis cannot be read, and cannot be resumed"
            );
            return Ok(None);
        };
        // Offsets of another incarnation do not tell what was missed.
        if record.log_incarnation != self.context.incarnation().as_str() {
            return Ok(None);
        }
        Ok(Some(StoredSession {
            pid,
            namespace: record.namespace,
            user: record.user,
            connection: record.connection,
            rooms: (record.rooms.into_iter())
                .map(|(room, offset)| (room, Offset(offset)))
                .collect(),
            application: record.application,
            removals: record.removals,
            claim_count: claim_count.unwrap_or(0),
        }))
    }
}

impl RedisLog {
    /// Stores a session of this node with `save` or `claim`; fails if another node owns it.
    async fn store(&self, verb: &str, session: StoredSession) -> Result<()> {
        let record = SessionRecord {
            log_incarnation: self.context.incarnation().as_str().to_owned(),
            connection: session.connection,
            rooms: (session.rooms.into_iter())
                .map(|(room, Offset(offset))| (room, offset))
                .collect(),
            application: session.application,
            removals: session.removals,
            namespace: session.namespace,
            user: session.user,
        };
        let body = serde_json::to_string(&record).expect("names and numbers are always encoded");
        let (pid, node) = (session.pid, self.context.node.to_string());
        let user = record.user.as_str();
        // First: a session that is stored and missing in the local roster would be ended by the publisher.
        self.context.roster.add_session(pid);
        let claim_count = session.claim_count.to_string();
        let store = [verb, &pid.reveal(), &body, user, &node, &claim_count];
        let refused: u8 = reply::parse(self.call(pid, &store).await?)?;
        if refused == 1 {
            self.context.roster.remove_session(pid);
            return Err(Error::unavailable("the session goes on elsewhere"));
        }
        Ok(())
    }

    /// Calls the session script for one session.
    async fn call(&self, pid: Pid, arguments: &[&str]) -> Result<Value> {
        self.call_in(Partition::of_session(pid), arguments).await
    }

    /// Calls the session script in all partitions.
    async fn call_all(&self, arguments: &[&str]) -> Result<()> {
        let partitions = Partition::all().map(|partition| self.call_in(partition, arguments));
        try_join_all(partitions).await.map(|_| ())
    }

    async fn call_in(&self, partition: Partition, arguments: &[&str]) -> Result<Value> {
        self.check_open()?;
        let call = scripts::session(&self.context.keys, partition, arguments);
        self.shards.execute_in_order(partition, call).await
    }
}
