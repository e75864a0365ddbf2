//! While another lane is waited for: what is delivered waits for room on the stream, and nobody who sends waits for that.

use std::collections::VecDeque;

use tokio::{sync::mpsc, time::interval};

use super::{Command, Follower, PING};
use crate::backend::{Delivery, redis::merger::Item};

impl Follower {
    /// Puts something on the stream, as soon as there is room.
    pub(super) async fn put(&mut self, delivery: Delivery) {
        self.make_room().await;
        self.outlet.put(delivery).await;
    }

    /// Tells the other lanes how far this one is, as soon as there is room.
    pub(super) async fn say(&mut self, item: Item) {
        self.make_room().await;
        self.outlet.say(item).await;
    }

    /// Waits until there is room. Receipts are settled meanwhile; whatever else is asked is put off.
    async fn make_room(&mut self) {
        let mut now_and_then = interval(PING);
        while self.outlet.is_full() {
            tokio::select! {
                () = self.outlet.room() => return,
                command = self.commands.recv() => match command {
                    Some(Command::Settle(room, stored)) => self.settle_behind(&room, stored),
                    Some(command) => self.put_off.push_back(command),
                    None => return self.outlet.room().await,
                },
                _ = now_and_then.tick() => self.note_hold_up(),
            }
        }
    }
}

/// What was asked next.
pub(super) async fn next(
    put_off: &mut VecDeque<Command>,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Option<Command> {
    match put_off.pop_front() {
        Some(command) => Some(command),
        None => commands.recv().await,
    }
}
