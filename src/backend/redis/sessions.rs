//! The sessions: a hash each, changed in their place among the drafts; those that have ended are forgotten by the sweeping.
//!
//! A session whose node was killed still counts as one that goes on: that ends when nodes hold leases. Until then such
//! sessions stay until somebody resumes them or their user is forgotten.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{
    RedisLog,
    keys::{self, Part},
    line, scripts,
};
use crate::{
    backend::{Session, Sessions},
    error::{Error, Result},
    model::{Namespace, Offset, Pid, RoomKey, RoomName, UserId},
};

#[derive(Serialize, Deserialize)]
struct Written {
    namespace: Namespace,
    user: UserId,
    connection: String,
    rooms: Vec<(RoomName, u64)>,
}

#[async_trait]
impl Sessions for RedisLog {
    async fn save(&self, session: Session) -> Result<()> {
        let written = Written {
            connection: session.connection.to_string(),
            rooms: (session.rooms.into_iter())
                .map(|(room, Offset(offset))| (room, offset))
                .collect(),
            namespace: session.namespace,
            user: session.user,
        };
        let body = serde_json::to_string(&written).expect("names and numbers");
        let (pid, user) = (session.pid, written.user.as_str());
        self.change(pid, &["save", &pid.reveal(), &body, user])
            .await
    }

    async fn end(&self, pid: Pid) -> Result<()> {
        let now = (self.shared.clock)().0.to_string();
        self.change(pid, &["end", &pid.reveal(), &now]).await
    }

    async fn forget(&self, pid: Pid) -> Result<()> {
        self.change(pid, &["forget", &pid.reveal()]).await
    }

    async fn forget_user(&self, user: UserId) -> Result<()> {
        self.change_all(&["forget user", user.as_str()]).await
    }

    async fn expel(&self, user: UserId, room: RoomKey) -> Result<()> {
        let (namespace, room) = (room.namespace.as_str(), room.room.as_str());
        self.change_all(&["expel", user.as_str(), namespace, room])
            .await
    }

    async fn find(&self, pid: Pid) -> Result<Option<Session>> {
        self.check_open()?;
        let expired = (self.shared.clock)().before(self.session_window);
        let mut command = redis::cmd("HMGET");
        command.arg(keys::session(pid)).arg("body").arg("ended");
        let (body, ended): (Option<String>, Option<u64>) =
            line::read_as(self.reads.ask(command).await?)?;
        let Some(body) = body.filter(|_| ended.is_none_or(|ended| ended >= expired.0)) else {
            return Ok(None);
        };
        let written: Written = serde_json::from_str(&body).map_err(line::damaged)?;
        Ok(Some(Session {
            pid,
            namespace: written.namespace,
            user: written.user,
            connection: written
                .connection
                .parse()
                .map_err(|error: Error| line::damaged(error))?,
            rooms: (written.rooms.into_iter())
                .map(|(room, offset)| (room, Offset(offset)))
                .collect(),
        }))
    }
}

impl RedisLog {
    /// Changes one session.
    async fn change(&self, pid: Pid, arguments: &[&str]) -> Result<()> {
        self.change_in(Part::of_session(pid), arguments).await
    }

    /// Changes sessions wherever they are.
    async fn change_all(&self, arguments: &[&str]) -> Result<()> {
        let parts = Part::all().map(|part| self.change_in(part, arguments));
        try_join_all(parts).await.map(|_| ())
    }

    async fn change_in(&self, part: Part, arguments: &[&str]) -> Result<()> {
        self.check_open()?;
        let mut command = scripts::session([
            &keys::sessions(part),
            &keys::ended(part),
            &keys::users(part),
        ]);
        command.arg(arguments);
        self.in_order(command).await.map(|_| ())
    }
}
