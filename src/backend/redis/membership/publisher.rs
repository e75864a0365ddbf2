//! Writes this node's roster entries of one partition to Redis, batch by batch, and retries while Redis is away.
//!
//! When a batch fails, entries that were stored before may be lost, and changes that failed may be stored. So the next batch
//! begins with a comparison: what Redis has of this node is read, and what differs is written. What is equal costs the other
//! nodes nothing.

use std::{collections::HashMap, sync::Arc};

use indexmap::IndexMap;
use redis::Cmd;

use super::local_roster::{RosterChange, RosterWork};
use crate::{
    backend::redis::{
        client::{OnDisconnect, RedisConnection, ShardConnections, connect, reply},
        context::NodeContext,
        keys::{self, Partition},
        scripts,
    },
    error::Result,
    model::{Pid, RoomKey, UserId},
};

/// How many rooms are compared together.
const ROOMS_PER_PIPELINE: usize = 64;

/// How many sessions one command or pipeline names.
const SESSION_BATCH: usize = 512;

pub(super) struct RosterPublisher {
    pub(super) context: Arc<NodeContext>,
    pub(super) connections: Arc<ShardConnections>,
    pub(super) partition: Partition,
}

impl RosterPublisher {
    fn connection(&self) -> &RedisConnection {
        self.connections.of(self.partition)
    }

    /// Runs until the roster is closed and everything is written, or cannot be.
    pub(super) async fn run(self) {
        let mut backoff = connect::RETRY_BACKOFF;
        loop {
            let work = self.context.roster.next_work(self.partition).await;
            let closing = work.closing;
            if closing && work.is_empty() {
                return;
            }
            match self.execute(&work).await {
                Ok(()) => {
                    backoff.reset();
                    self.context.roster.complete(self.partition, work);
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot write roster entries to Redis");
                    self.context.roster.retry(self.partition, work);
                    if closing {
                        return;
                    }
                    backoff.wait().await;
                }
            }
        }
    }

    async fn execute(&self, work: &RosterWork) -> Result<()> {
        let mut rechecks = work.rechecks.clone();
        if work.recheck_all {
            rechecks.extend(self.context.roster.occupied_rooms(self.partition));
            rechecks.extend(self.stored_rooms().await?);
            self.recheck_sessions().await?;
        }
        let rechecks: Vec<_> = rechecks.into_iter().collect();
        for rooms in rechecks.chunks(ROOMS_PER_PIPELINE) {
            self.recheck(rooms).await?;
        }
        let mut commands = update_commands(&self.context, &work.changes);
        commands.extend(work.notices.iter().map(|(room, text)| {
            let mut publish = redis::cmd(self.context.publish_command());
            publish.arg(self.context.keys.channel(room)).arg(text);
            publish
        }));
        let replies = self
            .connection()
            .execute(&commands, OnDisconnect::Retry)
            .await?;
        for reply in replies {
            reply::check(reply)?;
        }
        Ok(())
    }

    /// The rooms of this partition in which Redis has entries of this node.
    async fn stored_rooms(&self) -> Result<Vec<RoomKey>> {
        let mut stored = redis::cmd("SMEMBERS");
        stored.arg(
            self.context
                .keys
                .rooms_of(self.partition, self.context.node),
        );
        let stored: Vec<String> = reply::parse(self.connection().query(stored).await?)?;
        let rooms = stored.iter().filter_map(|name| keys::parse_room_name(name));
        Ok(rooms.collect())
    }

    /// Reads what Redis has of this node in rooms, and has the roster queue what differs.
    async fn recheck(&self, rooms: &[RoomKey]) -> Result<()> {
        let reads: Vec<_> = rooms
            .iter()
            .map(|room| {
                let mut read = redis::cmd("HGETALL");
                read.arg(self.context.keys.entries_of(room, self.context.node));
                read
            })
            .collect();
        let replies = self
            .connection()
            .execute(&reads, OnDisconnect::Retry)
            .await?;
        for (room, reply) in rooms.iter().zip(replies) {
            let users: HashMap<String, String> = reply::parse(reply)?;
            let users = users.into_iter();
            let users = users.map(|(user, text)| (UserId::from_log(&user), text));
            self.context.roster.reconcile(room, &users.collect());
        }
        Ok(())
    }

    /// Resumes active sessions that were marked as ended because this node was taken for dead, and ends sessions whose end
    /// could not be stored.
    async fn recheck_sessions(&self) -> Result<()> {
        let keys = &self.context.keys;
        let node = self.context.node.to_string();
        let mut stored = redis::cmd("SMEMBERS");
        stored.arg(keys.owned(self.partition) + &node);
        let stored: Vec<String> = reply::parse(self.connection().query(stored).await?)?;
        let stored: Vec<_> = stored.iter().filter_map(|pid| Pid::parse(pid)).collect();
        let active = self.context.roster.sessions_in(self.partition);
        let (kept, ended): (Vec<&Pid>, Vec<_>) =
            stored.iter().partition(|pid| active.contains(*pid));
        if kept.len() == active.len() && ended.is_empty() {
            return Ok(());
        }
        let now = (self.context.clock)().now.0.to_string();
        let ends: Vec<_> = ended
            .iter()
            .map(|pid| {
                let end = ["end", &pid.reveal(), &now, &node];
                scripts::session(keys, self.partition, &end)
            })
            .collect();
        for ends in ends.chunks(SESSION_BATCH) {
            self.connection().execute(ends, OnDisconnect::Retry).await?;
        }
        // Read again: a session that had ended may be active again meanwhile.
        let active = self.context.roster.sessions_in(self.partition);
        let active: Vec<_> = active.into_iter().collect();
        for active in active.chunks(SESSION_BATCH) {
            let mut resume = scripts::session(keys, self.partition, &["resume", &node]);
            for pid in active {
                resume.arg(pid.reveal());
            }
            self.connection().query(resume).await?;
        }
        Ok(())
    }
}

/// One script call for each room, in the order of its first change.
fn update_commands(context: &NodeContext, changes: &[RosterChange]) -> Vec<Cmd> {
    let (keys, node) = (&context.keys, context.node);
    let mut rooms: IndexMap<&RoomKey, Cmd> = IndexMap::new();
    for RosterChange {
        room, user, text, ..
    } in changes
    {
        let command = rooms.entry(room).or_insert_with(|| {
            let partition = Partition::of(room);
            let mut command = scripts::update_roster([
                &keys.entries_of(room, node),
                &keys.here(room),
                &keys.rooms_of(partition, node),
                &keys.live(partition),
                &keys.nodes(partition),
                &keys.channel(room),
            ]);
            command
                .arg(context.publish_command())
                .arg(keys::room_name(room));
            command.arg(node.to_string());
            command
        });
        command
            .arg(user.as_str())
            .arg(text.as_deref().unwrap_or_default());
    }
    rooms.into_values().collect()
}
