//! The other nodes of the cluster: rosters, notices and cluster RPC ([`ClusterNodes`]).

use std::time::Duration;

use async_trait::async_trait;

use super::RedisLog;
use crate::{
    backend::{
        ClusterNodes, ClusterNotice, PresenceEntry, RosterPage,
        redis::membership::{codec, roster_queries},
    },
    error::Result,
    model::{Namespace, RoomKey, RoomName, UserId},
    retry::log_rarely,
};

#[async_trait]
impl ClusterNodes for RedisLog {
    fn set_presence(&self, room: &RoomKey, user: &UserId, entry: Option<PresenceEntry>) {
        let text = entry.as_ref().map(codec::encode_entry).transpose();
        match text {
            Ok(text) => self.context.roster.set(room, user, text.map(Into::into)),
            Err(error) => log_rarely!(error, %error, "cannot encode a roster entry"),
        }
    }

    fn notify(&self, room: &RoomKey, notice: ClusterNotice) {
        match codec::encode_notice(self.context.node, &notice) {
            Ok(text) => self.context.roster.queue_notice(room, text),
            Err(error) => log_rarely!(error, %error, "cannot encode a notice"),
        }
    }

    async fn room_users(
        &self,
        room: &RoomKey,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<RosterPage> {
        self.check_open()?;
        roster_queries::read_users(&self.context.keys, &self.connections, room, after, limit).await
    }

    async fn occupied_rooms(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Result<Vec<RoomName>> {
        self.check_open()?;
        let (keys, connections) = (&self.context.keys, &self.connections);
        roster_queries::read_rooms(keys, connections, namespace, prefix, after, limit).await
    }

    async fn request_all(&self, text: String, within: Duration) -> Result<Vec<String>> {
        self.rpc.request(&text, within).await
    }
}
