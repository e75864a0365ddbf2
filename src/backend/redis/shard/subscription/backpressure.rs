//! Delivers with backpressure: while the merger waits for another shard and the output is full, receipts are still settled,
//! and all other commands are deferred.

use std::collections::VecDeque;

use tokio::{sync::mpsc, time::interval};

use super::{PING_INTERVAL, Subscription};
use crate::{
    backend::{
        BusEvent, Delivery,
        redis::{
            dropped::DropReason,
            shard::{
                command::{PendingReceipt, SubscriptionCommand},
                stream::ShardItem,
            },
        },
    },
    model::RoomKey,
};

impl Subscription {
    /// Delivers, as soon as the output has room.
    pub(super) async fn deliver(&mut self, delivery: Delivery) {
        self.wait_for_room().await;
        self.output.send(delivery).await;
    }

    /// Tells the merger a watermark, as soon as the output has room.
    pub(super) async fn announce(&mut self, item: ShardItem) {
        self.wait_for_room().await;
        self.output.announce(item).await;
    }

    /// Delivers an event of this node that is not stored. It is dropped if the output is full.
    pub(super) async fn deliver_own_event(&mut self, event: BusEvent) {
        if !self.output.try_send(Delivery::Event(event)).await {
            self.context.dropped.add(1, DropReason::Full);
        }
    }

    pub(super) fn track_receipt(&mut self, room: &RoomKey, receipt: PendingReceipt) {
        let channel = self.context.keys.channel(room);
        let delivered = self.rooms.get(&channel).map(|room| room.offset);
        self.receipts
            .add(&channel, receipt, delivered, self.progress.forwarded());
    }

    async fn wait_for_room(&mut self) {
        let mut tick = interval(PING_INTERVAL);
        while self.output.is_full() {
            tokio::select! {
                () = self.output.ready() => return,
                command = self.commands.recv() => match command {
                    Some(SubscriptionCommand::Settle(room, receipt)) => self.track_receipt(&room, receipt),
                    Some(command) => self.deferred.push_back(command),
                    None => return self.output.ready().await,
                },
                _ = tick.tick() => self.receipts.tick(self.output.is_full()),
            }
        }
    }
}

/// The next command, deferred ones first.
pub(super) async fn next_command(
    deferred: &mut VecDeque<SubscriptionCommand>,
    commands: &mut mpsc::UnboundedReceiver<SubscriptionCommand>,
) -> Option<SubscriptionCommand> {
    match deferred.pop_front() {
        Some(command) => Some(command),
        None => commands.recv().await,
    }
}
