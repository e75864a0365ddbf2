//! Handles commands: with a connection in batches, without one so that no caller waits for Redis to come back.

use redis::aio::MultiplexedConnection;

use super::{ListenEnd, Subscription, for_each_channel};
use crate::backend::{
    Delivery,
    redis::{
        client::{connect, reply},
        shard::command::SubscriptionCommand,
    },
};

impl Subscription {
    /// Handles commands while connected.
    pub(super) async fn handle_commands(
        &mut self,
        connection: &mut MultiplexedConnection,
        commands: impl Iterator<Item = SubscriptionCommand>,
    ) -> Result<(), ListenEnd> {
        let mut unfollowed = Vec::new();
        let (mut publish_barrier, mut resync) = (false, false);
        for command in commands {
            match command {
                SubscriptionCommand::Follow(room, done) => self.pending.push((room, Some(done))),
                SubscriptionCommand::Unfollow(room) => unfollowed.extend(self.unfollow(&room)),
                SubscriptionCommand::Send(event, _permit) => self.deliver_own_event(event).await,
                SubscriptionCommand::Settle(room, receipt) => self.track_receipt(&room, receipt),
                SubscriptionCommand::Barrier(reached) => {
                    publish_barrier = true;
                    self.barriers.add(reached);
                }
                SubscriptionCommand::ReportPosition => publish_barrier = true,
                SubscriptionCommand::Resync => resync = true,
                SubscriptionCommand::DataLost => (resync, self.data_lost) = (true, true),
                SubscriptionCommand::Close(done) => {
                    publish_barrier = true;
                    self.barriers.close(done);
                }
            }
        }
        let (_, unsubscribe) = self.context.subscribe_commands();
        for_each_channel(connection, unsubscribe, &unfollowed).await?;
        self.follow_pending(connection).await?;
        self.announce_idle().await;
        if publish_barrier {
            self.publish_barrier(connection).await?;
        }
        match resync {
            true => Err(ListenEnd::Reconnect(None)),
            false => Ok(()),
        }
    }

    /// Publishes a barrier on this node's own channel: it arrives behind everything that was published before.
    pub(super) async fn publish_barrier(
        &mut self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), ListenEnd> {
        let number = self.barriers.next_number();
        let publish = self.context.publish_command();
        let command = self
            .clock
            .barrier_command(&self.own_channel, publish, number);
        let mut replies = connect::execute(connection, &[command]).await?;
        let (_, lost, _): (u64, u8, u64) = reply::parse(replies.pop().unwrap_or_default())?;
        if lost == 1 {
            self.data_lost = true;
            return Err(ListenEnd::Reconnect(None));
        }
        Ok(())
    }

    /// Handles a command without a connection. Returns `None` if the subscription is to end.
    pub(super) async fn handle_offline(&mut self, command: SubscriptionCommand) -> Option<()> {
        match command {
            SubscriptionCommand::Follow(room, done) => self.pending.push((room, Some(done))),
            SubscriptionCommand::Unfollow(room) => {
                self.unfollow(&room);
                self.announce_idle().await;
            }
            SubscriptionCommand::Send(event, _permit) => self.deliver_own_event(event).await,
            SubscriptionCommand::Settle(room, receipt) => self.track_receipt(&room, receipt),
            SubscriptionCommand::Barrier(reached) => {
                self.deliver(Delivery::Barrier(reached)).await;
            }
            // Both happen anyway once connected.
            SubscriptionCommand::ReportPosition | SubscriptionCommand::Resync => {}
            SubscriptionCommand::DataLost => self.data_lost = true,
            SubscriptionCommand::Close(done) => {
                self.barriers.close_now(done);
                return None;
            }
        }
        Some(())
    }
}
