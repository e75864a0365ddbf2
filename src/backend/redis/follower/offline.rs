//! While nothing comes from Redis: connecting, and answering whoever asks meanwhile.

use std::pin::pin;

use redis::aio::MultiplexedConnection;
use tokio::sync::oneshot;

use super::{Command, Follower, stall::next};
use crate::{
    backend::{
        Delivery,
        redis::{inflow::Inflow, line},
    },
    error::{Error, Result},
    repeat::log_at,
};

impl Follower {
    /// Connects, however long that takes; `None` if it is to end.
    pub(super) async fn connect(
        &mut self,
        inflow: &Inflow,
        first: bool,
    ) -> Option<MultiplexedConnection> {
        // A connection may have been lost while the first room was begun.
        self.rest().await;
        loop {
            if let Some(wait) = self.wait {
                let pause = tokio::time::sleep(wait);
                let mut pause = pin!(pause);
                loop {
                    tokio::select! {
                        () = &mut pause => break,
                        command = next(&mut self.put_off, &mut self.commands) => self.answer_offline(command?).await?,
                    }
                }
            }
            // Until a connection has lasted.
            self.wait = Some(self.again.next_wait());
            let (site, part) = (self.shared.site.clone(), self.order.part());
            let pushes = inflow.sender(self.own.clone());
            let mut connecting = pin!(async move { site.connect(part, pushes).await });
            let connected = loop {
                tokio::select! {
                    connected = &mut connecting => break connected,
                    command = next(&mut self.put_off, &mut self.commands) => self.answer_offline(command?).await?,
                }
            };
            match connected {
                Ok(connection) => {
                    if !first {
                        log_at!(
                            self.lines,
                            info,
                            "connected again to what brings messages from Redis"
                        );
                        // It may have lost what this node has.
                        let parts = self.shared.parts_of(self.order.part());
                        parts.for_each(|part| self.shared.book.check_part(part));
                    }
                    return Some(connection);
                }
                Err(error) => self.watch.record_failure(line::reason(&line::away(error))),
            }
            // They are stored; whoever sent them should not wait until Redis is back.
            self.settle_all();
            for (_, done) in &mut self.early {
                tell_deaf(done);
            }
        }
    }

    /// Answers while nothing comes from Redis; `None` if it is to end.
    async fn answer_offline(&mut self, command: Command) -> Option<()> {
        match command {
            Command::Follow(room, done) => self.early.push((room, Some(done))),
            Command::Unfollow(room) => {
                self.early.retain(|(early, _)| *early != room);
                self.forget(&room);
                self.rest().await;
            }
            Command::Send(event, except, _space) => self.send(event, except).await,
            Command::Settle(room, stored) => self.settle_behind(&room, stored),
            Command::Reach(reached) => {
                self.put(Delivery::Barrier(reached)).await;
            }
            // Done when it has connected, as is what Redis has lost.
            Command::Pass | Command::Compare => {}
            Command::Lost => self.lost = true,
            Command::Close(done) => {
                self.closing.push(done);
                return None;
            }
        }
        Some(())
    }
}

pub(super) fn tell_deaf(waiting: &mut Option<oneshot::Sender<Result<()>>>) {
    if let Some(done) = waiting.take() {
        let _ = done.send(Err(deaf()));
    }
}

/// Why a room cannot be followed yet.
pub(in crate::backend::redis) fn deaf() -> Error {
    Error::unavailable("Redis cannot be listened to now; try again")
}
