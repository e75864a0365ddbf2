//! Handles what Redis publishes on the channels of the followed rooms, and on the node's own channel.

use std::sync::Arc;

use super::{ListenEnd, Subscription, barriers::parse_barrier, rooms::MessagePosition};
use crate::{
    backend::{
        Delivery,
        redis::shard::{
            codec::{self, ChannelMessage},
            stream::ShardItem,
        },
    },
    model::Message,
    retry::log_rarely,
};

impl Subscription {
    /// Handles a message on a channel.
    pub(super) async fn handle_message(
        &mut self,
        channel: &str,
        payload: &[u8],
    ) -> Result<(), ListenEnd> {
        if channel == self.own_channel {
            let (number, offset) = parse_barrier(payload).unwrap_or_default();
            if self.gaps.confirm(number, &self.rooms) {
                log_rarely!(
                    warn,
                    "messages were lost between Redis and this node; reading them from the log"
                );
                self.resync().await?;
            }
            self.announce(ShardItem::Watermark(offset)).await;
            return self.barrier_reached(number).await;
        }
        let Some(room) = self.rooms.get(channel) else {
            return Ok(());
        };
        match codec::decode_channel_message(&room.key, payload) {
            Some(ChannelMessage::Message(epoch, message)) => {
                match room.position(&epoch, &message) {
                    MessagePosition::Delivered => return Ok(()),
                    MessagePosition::Next => {}
                    MessagePosition::BehindGap => {
                        log_rarely!(warn, room = %message.room.room, seq = %message.seq, "messages were lost between Redis and this node; reading them from the log");
                        self.resync().await?;
                    }
                }
                // The resync may have delivered it. If the log has lost it, it is delivered all the same.
                if let Some(room) = self.rooms.get_mut(channel)
                    && message.offset > room.offset
                {
                    room.epoch = epoch;
                    self.deliver_message(channel, message).await;
                }
            }
            Some(ChannelMessage::Event(event, node)) if node != self.context.node => {
                self.deliver(Delivery::Event(event)).await;
            }
            // An event of this node was delivered directly.
            Some(ChannelMessage::Event(..)) => {}
            Some(ChannelMessage::Roster(message)) => {
                self.handle_roster_message(channel, message).await?;
            }
            None => log_rarely!(
                warn,
                channel,
                "ignored an invalid message on a room's channel"
            ),
        }
        Ok(())
    }

    /// Delivers a room's next message, and settles its receipt.
    pub(super) async fn deliver_message(&mut self, channel: &str, message: Arc<Message>) {
        let (seq, offset) = (message.seq, message.offset);
        self.clock.observe(offset);
        // Waits while the hub is behind. Without a receiver, receipts are settled all the same.
        self.deliver(Delivery::Message(message)).await;
        if let Some(room) = self.rooms.get_mut(channel) {
            room.advance(seq, offset);
            self.receipts.delivered(channel, offset);
        }
        self.receipts.forwarded(self.progress.forwarded());
    }

    /// Everything that was published before the barrier of this number has been delivered.
    pub(super) async fn barrier_reached(&mut self, number: u64) -> Result<(), ListenEnd> {
        while let Some(reached) = self.barriers.pop_reached(number) {
            self.deliver(Delivery::Barrier(reached)).await;
        }
        match self.barriers.closes_at(number) {
            true => Err(ListenEnd::Closed),
            false => Ok(()),
        }
    }
}
