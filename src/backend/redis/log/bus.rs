//! Ephemeral events and followed rooms: [`Bus`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::oneshot, time::timeout};

use super::{RedisLog, in_flight_cost};
use crate::{
    backend::{
        Bus, BusEvent, Subscribing, closed,
        redis::{
            dropped::DropReason,
            keys::Partition,
            shard::{
                Shard, codec, command::SubscriptionCommand, subscription, writer::WriterCommand,
            },
        },
    },
    error::Result,
    model::{Broadcast, RoomKey},
};

/// The maximum time that a caller waits until a room is followed; the subscription is retried all the same.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an event waits while too many bytes of others are on their way to this node's members, or to Redis.
const EVENT_TIMEOUT: Duration = Duration::from_secs(1);

impl RedisLog {
    /// Gives an event to this node's members; false if it is dropped, because too many bytes of others are on their way to them.
    async fn deliver_here(&self, shard: &Shard, event: BusEvent, cost: u32) -> Result<bool> {
        let permit = self.local_events.clone().acquire_many_owned(cost);
        let Ok(permit) = timeout(EVENT_TIMEOUT, permit).await else {
            self.context.dropped.add(1, DropReason::Full);
            return Ok(false);
        };
        let send = SubscriptionCommand::Send(event, permit.map_err(|_| closed())?);
        shard.subscription.send(send).map_err(|_| closed())?;
        Ok(true)
    }
}

#[async_trait]
impl Bus for RedisLog {
    async fn send(&self, event: BusEvent) -> Result<()> {
        self.check_open()?;
        let room = event.channel();
        let shard = self.shards.of(Partition::of(&room));
        let payload = codec::encode_event(&event, self.context.node);
        let cost = in_flight_cost(payload.len());
        let published = self.published_events.clone().acquire_many_owned(cost);
        // Waits if events come faster than they can be handled, but not for a Redis that is away: then only this node's members
        // receive them, and in the end nobody.
        if !self.deliver_here(shard, event, cost).await? {
            return Ok(());
        }
        let mut command = redis::cmd(self.context.publish_command());
        command.arg(self.context.keys.channel(&room)).arg(payload);
        let queued = match timeout(EVENT_TIMEOUT, published).await {
            Ok(permit) => {
                let permit = permit.map_err(|_| closed())?;
                let publish = WriterCommand::Publish { command, permit };
                shard.writer.try_send(publish).is_ok()
            }
            Err(_) => false,
        };
        if !queued {
            self.context.dropped.add(1, DropReason::Full);
        }
        Ok(())
    }

    async fn send_here(&self, broadcast: Arc<Broadcast>) -> Result<()> {
        self.check_open()?;
        let shard = self.shards.of(Partition::of(&broadcast.channel()));
        let cost = in_flight_cost(broadcast.event.len());
        let event = BusEvent::Broadcast(broadcast);
        self.deliver_here(shard, event, cost).await.map(drop)
    }

    async fn flush(&self) {
        self.shards.delivered().await;
    }

    fn subscribe(&self, room: &RoomKey) -> Subscribing {
        let (done, replied) = oneshot::channel();
        let follow = SubscriptionCommand::Follow(room.clone(), done);
        let sent = self
            .shards
            .of(Partition::of(room))
            .subscription
            .send(follow);
        Box::pin(async move {
            sent.map_err(|_| closed())?;
            match timeout(FOLLOW_TIMEOUT, replied).await {
                Ok(replied) => replied.map_err(|_| closed())?,
                Err(_) => Err(subscription::not_subscribed()),
            }
        })
    }

    fn unsubscribe(&self, room: &RoomKey) {
        // A subscription that has ended follows nothing.
        let unfollow = SubscriptionCommand::Unfollow(room.clone());
        let shard = self.shards.of(Partition::of(room));
        let _ = shard.subscription.send(unfollow);
    }
}
