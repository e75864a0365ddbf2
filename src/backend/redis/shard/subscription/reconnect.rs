//! Connects, as often as it takes, and handles commands meanwhile.

use std::pin::pin;

use redis::aio::MultiplexedConnection;

use super::{Subscription, backpressure::next_command, follow};
use crate::{
    backend::redis::client::{PushQueue, reply},
    retry::log_at,
};

impl Subscription {
    /// Connects, however long that takes. Returns `None` if the subscription is to end.
    pub(super) async fn connect(
        &mut self,
        pushes: &PushQueue,
        first: bool,
    ) -> Option<MultiplexedConnection> {
        // The last connection may have been lost after the shard was activated for a room that is not followed now.
        self.announce_idle().await;
        loop {
            if let Some(delay) = self.retry_in {
                let mut sleep = pin!(tokio::time::sleep(delay));
                loop {
                    tokio::select! {
                        () = &mut sleep => break,
                        command = next_command(&mut self.deferred, &mut self.commands) => self.handle_offline(command?).await?,
                    }
                }
            }
            // Kept until a connection has lasted.
            self.retry_in = Some(self.backoff.next_delay());
            let (topology, shard) = (self.context.topology.clone(), self.shard());
            let sender = pushes.sender(self.own_channel.clone());
            let mut connecting = pin!(async move { topology.connect(shard, sender).await });
            let connected = loop {
                tokio::select! {
                    connected = &mut connecting => break connected,
                    command = next_command(&mut self.deferred, &mut self.commands) => self.handle_offline(command?).await?,
                }
            };
            match connected {
                Ok(connection) => {
                    if !first {
                        self.note_reconnected();
                    }
                    return Some(connection);
                }
                Err(error) => self
                    .health
                    .record_failure(reply::reason(&reply::unavailable(error))),
            }
            // The messages are stored; their senders should not wait until Redis is back.
            self.receipts.settle_all();
            for (_, done) in &mut self.pending {
                follow::fail_once(done);
            }
        }
    }

    fn note_reconnected(&mut self) {
        log_at!(
            self.log_limiter,
            info,
            "the Redis subscription is connected again"
        );
        // Redis may have lost this node's roster entries and members.
        let partitions = self.context.topology.partitions_of(self.shard());
        partitions.for_each(|partition| {
            self.context.roster.recheck_partition(partition);
            self.context.members.recheck(partition);
        });
    }
}
