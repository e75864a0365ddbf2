//! Follows and unfollows rooms.

use redis::aio::MultiplexedConnection;
use tokio::sync::oneshot;

use super::{ListenEnd, Subscription, for_each_channel};
use crate::{
    backend::redis::shard::stream::ShardItem,
    error::{Error, Result},
    model::{Offset, RoomKey},
};

/// A room to follow, and the caller that waits; `None` once the caller has been sent an error.
pub(super) type PendingFollow = (RoomKey, Option<oneshot::Sender<Result<()>>>);

impl Subscription {
    /// Follows the pending rooms. Subscribes first, then reads where each room ends: messages that come in between are in
    /// the queue, and those of them that are not beyond the end are known by their offset.
    pub(super) async fn follow_pending(
        &mut self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), ListenEnd> {
        let new: Vec<_> = (self.pending.iter())
            .map(|(room, _)| (self.context.keys.channel(room), room.clone()))
            .filter(|(channel, _)| !self.rooms.contains(channel))
            .collect();
        let channels: Vec<_> = new.iter().map(|(channel, _)| channel.clone()).collect();
        if !new.is_empty()
            && let Err(end) = self.subscribe(connection, new).await
        {
            for (_, done) in &mut self.pending {
                fail_once(done);
            }
            return Err(end);
        }
        for done in self.pending.drain(..).filter_map(|(_, done)| done) {
            let _ = done.send(Ok(()));
        }
        // Behind the replies: callers should not wait until the output has room for the rosters.
        Ok(self.read_rosters(&channels).await?)
    }

    async fn subscribe(
        &mut self,
        connection: &mut MultiplexedConnection,
        new: Vec<(String, RoomKey)>,
    ) -> Result<(), ListenEnd> {
        let channels: Vec<_> = new.iter().map(|(channel, _)| channel.clone()).collect();
        let (subscribe, _) = self.context.subscribe_commands();
        for_each_channel(connection, subscribe, &channels).await?;
        if !self.active && new.iter().any(|(_, room)| room.has_messages()) {
            // The hub may have messages of other shards with higher offsets. What comes of these rooms has to be higher still.
            self.progress.activate();
            self.active = true;
            self.raise().await?;
        }
        let keys: Vec<_> = new.iter().map(|(_, room)| room).collect();
        let ends = self.read_ends(&keys, Self::stored_end).await?;
        let mut of_earlier_incarnation = Vec::new();
        for ((channel, room), end) in new.into_iter().zip(ends) {
            self.clock.observe(end.offset);
            if end.offset > Offset(0) && end.offset < self.incarnation_start {
                of_earlier_incarnation.push(channel.clone());
            }
            self.rooms.insert(channel, room, end);
        }
        Ok(self.reload_epochs(&of_earlier_incarnation).await?)
    }

    /// Stops following a room, and drops earlier requests to follow it. Returns the channel if the room was followed.
    pub(super) fn unfollow(&mut self, room: &RoomKey) -> Option<String> {
        self.pending.retain(|(pending, _)| pending != room);
        let channel = self.context.keys.channel(room);
        self.receipts.unfollowed(&channel);
        self.rooms.remove(&channel).then_some(channel)
    }

    /// Tells the merger not to wait for this shard if it has no followed room any more.
    pub(super) async fn announce_idle(&mut self) {
        // While the output is full the merger has items of this shard anyway.
        if self.active && !self.rooms.have_messages() && !self.output.is_full() {
            self.active = false;
            let idle = ShardItem::Idle(self.progress.activations());
            self.output.announce(idle).await;
        }
    }
}

/// Sends the caller an error, if it still waits. The room stays pending.
pub(super) fn fail_once(waiting: &mut Option<oneshot::Sender<Result<()>>>) {
    if let Some(done) = waiting.take() {
        let _ = done.send(Err(not_subscribed()));
    }
}

/// Why a room cannot be followed yet.
pub(crate) fn not_subscribed() -> Error {
    Error::unavailable("cannot subscribe to Redis now; try again")
}
