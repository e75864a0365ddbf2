//! Ephemeral events and followed rooms: [`Bus`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::oneshot, time::timeout};

use super::RedisLog;
use crate::{
    backend::{
        Bus, Subscribing, closed,
        redis::{
            keys::Partition,
            shard::{codec, command::SubscriptionCommand, subscription, writer::WriterCommand},
        },
    },
    error::Result,
    model::{ConnectionId, Ephemeral, RoomKey},
};

/// The maximum time that a caller waits until a room is followed; the subscription is retried all the same.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(5);

#[async_trait]
impl Bus for RedisLog {
    async fn send(&self, event: Arc<Ephemeral>, except: Option<ConnectionId>) -> Result<()> {
        self.check_open()?;
        let payload = codec::encode_ephemeral(&event, except, self.context.node);
        let permit = Arc::new(self.reserve(payload.len()).await?);
        let shard = self.shards.of(Partition::of(&event.room));
        let mut command = redis::cmd(self.context.publish_command());
        command
            .arg(self.context.keys.channel(&event.room))
            .arg(payload);
        let publish = WriterCommand::Publish {
            command,
            permit: permit.clone(),
        };
        // Never waits for Redis: while it is unavailable or slow, only this node's members receive the event.
        if shard.writer.try_send(publish).is_err() {
            tracing::debug!(room = %event.room.room, "dropped an ephemeral event: the writer's queue is full");
        }
        let send = SubscriptionCommand::Send(event, except, permit);
        shard.subscription.send(send).map_err(|_| closed())
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
