//! The rosters of the followed rooms: who is in them on other nodes. They are read when a room is followed, updated by what
//! is published, and read again when an update was lost.

use super::{ListenEnd, PIPELINE_ROOMS, Subscription};
use crate::{
    backend::{
        Delivery, RemoteEvent,
        redis::{
            client::{OnDisconnect, reply},
            membership::{RosterMessage, RosterUpdate, roster_queries},
        },
    },
    error::Result,
    model::{NodeId, RoomKey},
    retry::log_rarely,
};

/// How many rosters are read together: any of them may be large.
const ROSTER_BATCH: usize = 64;

impl Subscription {
    /// Handles a message of another node about a room's roster.
    pub(super) async fn handle_roster_message(
        &mut self,
        channel: &str,
        message: RosterMessage,
    ) -> Result<(), ListenEnd> {
        let own = self.context.node;
        let Some(room) = self.rooms.get_mut(channel) else {
            return Ok(());
        };
        let key = room.key.clone();
        match message {
            RosterMessage::Notice(node, _) if node == own => {}
            RosterMessage::Notice(_, notice) => {
                self.deliver_remote(&key, RemoteEvent::Notice(notice)).await;
            }
            RosterMessage::Changed { version, .. } if Some(version) <= room.roster_version => {}
            RosterMessage::Changed { before, .. } if Some(before) != room.roster_version => {
                log_rarely!(warn, room = %key.room, "roster updates were lost between Redis and this node; reading the roster");
                self.reread_rosters(&[channel.to_owned()]).await?;
            }
            RosterMessage::Changed {
                version,
                node,
                update,
                ..
            } => {
                room.roster_version = Some(version);
                self.apply_roster_update(&key, node, update).await;
            }
        }
        Ok(())
    }

    async fn apply_roster_update(&mut self, room: &RoomKey, node: NodeId, update: RosterUpdate) {
        let is_own = node == self.context.node;
        match update {
            // This node was taken for dead.
            RosterUpdate::NodeRemoved if is_own => self.context.roster.recheck_room(room),
            RosterUpdate::Users(_) if is_own => {}
            RosterUpdate::NodeRemoved => {
                self.deliver_remote(room, RemoteEvent::NodeLeft(node)).await;
            }
            RosterUpdate::Users(users) => {
                for (user, entry) in users {
                    let user = RemoteEvent::UserChanged(node, user, entry);
                    self.deliver_remote(room, user).await;
                }
            }
        }
    }

    /// Reads rosters and delivers what other nodes have in them.
    pub(super) async fn read_rosters(&mut self, channels: &[String]) -> Result<()> {
        for channels in channels.chunks(ROSTER_BATCH) {
            let rooms = channels
                .iter()
                .filter_map(|channel| self.rooms.get(channel));
            let keys: Vec<_> = rooms.map(|room| room.key.clone()).collect();
            let own = self.context.node;
            let reads: Vec<_> = keys
                .iter()
                .map(|key| roster_queries::read_command(&self.context.keys, key, Some(own)))
                .collect();
            let replies = self
                .connection()
                .execute(&reads, OnDisconnect::Retry)
                .await?;
            for (key, reply) in keys.into_iter().zip(replies) {
                let (version, entries) = roster_queries::parse(reply)?;
                if let Some(room) = self.rooms.get_mut(&self.context.keys.channel(&key)) {
                    room.roster_version = Some(version);
                }
                self.deliver_remote(&key, RemoteEvent::Snapshot(entries))
                    .await;
            }
        }
        Ok(())
    }

    /// Reads rosters of which updates were lost. Redis may have lost this node's entries, too: they are checked.
    async fn reread_rosters(&mut self, channels: &[String]) -> Result<()> {
        self.read_rosters(channels).await?;
        let rooms = channels
            .iter()
            .filter_map(|channel| self.rooms.get(channel));
        rooms.for_each(|room| self.context.roster.recheck_room(&room.key));
        Ok(())
    }

    /// Reads the rosters that have another version than the one that was delivered.
    pub(super) async fn resync_rosters(&mut self) -> Result<()> {
        let changed = self.changed_rosters().await?;
        let changed: Vec<_> = changed.into_iter().map(|(channel, _)| channel).collect();
        self.reread_rosters(&changed).await
    }

    /// The rooms whose roster has another version than the one that was delivered, and that one.
    pub(super) async fn changed_rosters(&self) -> Result<Vec<(String, Option<u64>)>> {
        let rooms: Vec<_> = self.rooms.iter().collect();
        let mut changed = Vec::new();
        for rooms in rooms.chunks(PIPELINE_ROOMS) {
            let reads: Vec<_> = rooms
                .iter()
                .map(|(_, room)| {
                    let mut read = redis::cmd("HGET");
                    read.arg(self.context.keys.here(&room.key)).arg("version");
                    read
                })
                .collect();
            let replies = self
                .connection()
                .execute(&reads, OnDisconnect::Retry)
                .await?;
            for ((channel, room), reply) in rooms.iter().zip(replies) {
                // A version that is no number counts as none.
                let version = redis::from_redis_value::<Option<u64>>(reply::check(reply)?);
                if Some(version.ok().flatten().unwrap_or(0)) != room.roster_version {
                    changed.push(((*channel).clone(), room.roster_version));
                }
            }
        }
        Ok(changed)
    }

    async fn deliver_remote(&mut self, room: &RoomKey, event: RemoteEvent) {
        self.deliver(Delivery::Remote(room.clone(), event)).await;
    }
}
