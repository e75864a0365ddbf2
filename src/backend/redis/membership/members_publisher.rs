//! Writes which users this node has in the rooms of one partition, batch by batch, and retries while Redis is away. The script adds
//! the events to the outbox.
//!
//! A batch that fails may have been executed, and executing it again could tell of users who came and left twice. So what is
//! stored of this node is read, and what differs is written. That is also done when the numbers differ, which is checked once a lease:
//! another node that has taken this one for dead may remove members after they were written again.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::local_members::{MemberChange, MemberWork};
use crate::{
    backend::redis::{
        client::{OnDisconnect, RedisConnection, ShardConnections, connect, reply},
        context::NodeContext,
        keys::{self, Partition},
        scripts,
    },
    error::Result,
};

pub(super) struct MembersPublisher {
    pub(super) context: Arc<NodeContext>,
    pub(super) connections: Arc<ShardConnections>,
    pub(super) partition: Partition,
    /// How often the number of members is compared with what is stored.
    pub(super) check_interval: Duration,
}

impl MembersPublisher {
    /// Runs until the members are closed and everything is written, or cannot be.
    pub(super) async fn run(self) {
        let mut backoff = connect::RETRY_BACKOFF;
        loop {
            let next = self.context.members.next_work(self.partition);
            let done = match timeout(self.check_interval, next).await {
                Ok(MemberWork::Close) => return,
                Ok(MemberWork::Recheck) => self.recheck().await,
                Ok(MemberWork::Write(changes)) => self.write(&changes).await,
                Err(_) => self.check().await,
            };
            match done {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    tracing::debug!(%error, "cannot write members of rooms to Redis");
                    if self.context.members.retry(self.partition) {
                        return;
                    }
                    backoff.wait().await;
                }
            }
        }
    }

    fn connection(&self) -> &RedisConnection {
        self.connections.of(self.partition)
    }

    /// The set of what is stored of this node.
    fn stored_key(&self) -> String {
        let node = self.context.node;
        self.context.keys.present_of(self.partition, node)
    }

    async fn write(&self, changes: &[MemberChange]) -> Result<()> {
        let keys = &self.context.keys;
        let shard = self.context.topology.shard_of(self.partition);
        let mut update = scripts::update_members([
            &keys.present(self.partition),
            &self.stored_key(),
            &keys.present_nodes(self.partition),
            &keys.outbox(shard),
            &keys.shard_incarnation(shard),
        ]);
        update.arg(self.context.node.to_string());
        self.context.outbox.add_args(&mut update, shard);
        for change in changes {
            update
                .arg(keys::room_name(&change.room))
                .arg(change.user.as_str())
                .arg(u8::from(change.is_member))
                .arg(change.ts.0);
        }
        let connection = self.connection();
        let mut replies = connection.execute(&[update], OnDisconnect::Fail).await?;
        let last = reply::parse(replies.pop().unwrap_or_default())?;
        self.context.outbox.observe(shard, last);
        Ok(())
    }

    /// Reads what is stored of this node, and has what differs queued.
    async fn recheck(&self) -> Result<()> {
        let mut stored = redis::cmd("SMEMBERS");
        stored.arg(self.stored_key());
        let stored = reply::parse(self.connection().query(stored).await?)?;
        let now = (self.context.clock)().now;
        self.context.members.reconcile(self.partition, stored, now);
        Ok(())
    }

    /// Has everything compared if there are more or fewer than are stored.
    async fn check(&self) -> Result<()> {
        let mut count = redis::cmd("SCARD");
        count.arg(self.stored_key());
        let stored = reply::parse(self.connection().query(count).await?)?;
        if !self.context.members.matches(self.partition, stored) {
            self.context.members.recheck(self.partition);
        }
        Ok(())
    }
}
