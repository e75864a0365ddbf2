//! The sessions: a hash each, changed in their place among the drafts; those that have ended are forgotten by the sweeping.
//!
//! A session that goes on has an owner, the node where it does. When that node is taken out, its sessions are noted as ended.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::{Cmd, Value};
use serde::{Deserialize, Serialize};

use super::{
    RedisLog,
    keys::{Keys, Part},
    line, scripts,
};
use crate::{
    backend::{SessionStore, StoredSession},
    error::{Error, Result},
    model::{ConnectionId, Namespace, Offset, Pid, RoomKey, RoomName, UserId},
    repeat::log_rarely,
};

#[derive(Serialize, Deserialize)]
struct Written {
    /// The log's life that the offsets are of.
    #[serde(default)]
    life: String,
    namespace: Namespace,
    user: UserId,
    connection: ConnectionId,
    rooms: Vec<(RoomName, u64)>,
    /// A text, although it is JSON: scripts write the body anew, and would change what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    /// Left out where there is none: a script would write an empty list as an object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lost: Vec<(RoomName, String)>,
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
        self.shared.book.disown(pid);
        let now = (self.shared.clock)().now.0.to_string();
        let node = self.shared.node.to_string();
        let ended = self.change(pid, &["end", &pid.reveal(), &now, &node]).await;
        if ended.is_err() {
            // It is found to go on no more as soon as it can be noted.
            self.shared.book.check_part(Part::of_session(pid));
        }
        ended.map(|_| ())
    }

    async fn forget(&self, pid: Pid) -> Result<()> {
        self.shared.book.disown(pid);
        let node = self.shared.node.to_string();
        let forget = ["forget", &pid.reveal(), &node];
        self.change(pid, &forget).await.map(|_| ())
    }

    async fn forget_user(&self, user: UserId) -> Result<()> {
        self.change_all(&["forget user", user.as_str()]).await
    }

    async fn expel(&self, user: UserId, room: RoomKey, reason: String) -> Result<()> {
        let (namespace, room) = (room.namespace.as_str(), room.room.as_str());
        self.change_all(&["expel", user.as_str(), namespace, room, &reason])
            .await
    }

    async fn find(&self, pid: Pid) -> Result<Option<StoredSession>> {
        self.check_open()?;
        let expired = (self.shared.clock)().before(self.session_window);
        let mut command = redis::cmd("HMGET");
        command
            .arg(self.shared.keys.session(pid))
            .arg("body")
            .arg("ended")
            .arg("claims");
        let (body, ended, claims): (Option<String>, Option<u64>, Option<u64>) =
            line::read_as(self.reads.of(Part::of_session(pid)).ask(command).await?)?;
        let Some(body) = body.filter(|_| ended.is_none_or(|ended| ended >= expired.0)) else {
            return Ok(None);
        };
        let Ok(written) = serde_json::from_str::<Written>(&body) else {
            log_rarely!(
                warn,
                "a session in Redis is not as it was written, and cannot be resumed"
            );
            return Ok(None);
        };
        // Offsets of a life that is over say nothing of what was missed.
        if written.life != self.shared.incarnation().as_str() {
            return Ok(None);
        }
        Ok(Some(StoredSession {
            pid,
            namespace: written.namespace,
            user: written.user,
            connection: written.connection,
            rooms: (written.rooms.into_iter())
                .map(|(room, offset)| (room, Offset(offset)))
                .collect(),
            application: written.application,
            lost: written.lost,
            claims: claims.unwrap_or(0),
        }))
    }
}

impl RedisLog {
    /// Stores a session that goes on here, unless that is refused.
    async fn store(&self, verb: &str, session: StoredSession) -> Result<()> {
        let written = Written {
            life: self.shared.incarnation().as_str().to_owned(),
            connection: session.connection,
            rooms: (session.rooms.into_iter())
                .map(|(room, Offset(offset))| (room, offset))
                .collect(),
            application: session.application,
            lost: session.lost,
            namespace: session.namespace,
            user: session.user,
        };
        let body = serde_json::to_string(&written).expect("names and numbers");
        let (pid, node) = (session.pid, self.shared.node.to_string());
        let user = written.user.as_str();
        // First: one that is stored and not noted here would be taken for one that has ended.
        self.shared.book.own(pid);
        let claims = session.claims.to_string();
        let store = [verb, &pid.reveal(), &body, user, &node, &claims];
        let refused: u8 = line::read_as(self.change(pid, &store).await?)?;
        if refused == 1 {
            self.shared.book.disown(pid);
            return Err(Error::unavailable("the session goes on elsewhere"));
        }
        Ok(())
    }

    /// Changes one session.
    async fn change(&self, pid: Pid, arguments: &[&str]) -> Result<Value> {
        self.change_in(Part::of_session(pid), arguments).await
    }

    /// Changes sessions wherever they are.
    async fn change_all(&self, arguments: &[&str]) -> Result<()> {
        let parts = Part::all().map(|part| self.change_in(part, arguments));
        try_join_all(parts).await.map(|_| ())
    }

    async fn change_in(&self, part: Part, arguments: &[&str]) -> Result<Value> {
        self.check_open()?;
        let call = call(&self.shared.keys, part, arguments);
        self.lanes.in_order(part, call).await
    }
}

/// Has something done to the sessions of a part.
pub(super) fn call(keys: &Keys, part: Part, arguments: &[&str]) -> Cmd {
    let mut command = scripts::session([
        &keys.sessions(part),
        &keys.ended(part),
        &keys.users(part),
        &keys.owned(part),
        &keys.nodes(part),
    ]);
    command.arg(arguments);
    command
}
