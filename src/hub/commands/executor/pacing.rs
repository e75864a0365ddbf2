//! The rates of one connection: what a request costs, how long it waits for its permits, and events that newer ones replace.

use std::time::{Duration, Instant};

use tracing::Instrument;

use super::{Executor, Publish, Reply, ReplySink, Request, RequestCost};
use crate::{error::Result, hub::connections::connection_closing};

impl<S: ReplySink> Executor<S> {
    /// Before a transport does something that is no [`Request`]: waits for its turn by the rates, and until the messages before
    /// it are stored.
    ///
    /// # Errors
    /// `rate_limited` if the connection is over its rates for too long.
    pub async fn wait_turn(&mut self, cost: RequestCost) -> Result<()> {
        self.hub.record_activity(&self.connection);
        let wait = self.reserve(cost)?;
        self.delay(wait).await;
        self.wait_stored().await;
        Ok(())
    }

    /// What a request costs. One that could not be parsed costs what a message does: garbage would be free otherwise.
    pub(super) fn cost(&self, request: &Result<Request>) -> RequestCost {
        match request {
            Ok(Request::Join(_)) => RequestCost::Join,
            Ok(Request::History(history)) if !self.connection.is_in(&history.room) => {
                RequestCost::Join
            }
            Ok(Request::Publish(publish)) if publish.ephemeral => RequestCost::Event,
            _ => RequestCost::Message,
        }
    }

    /// Takes the next permits, and returns how long to wait until they may be used.
    pub(super) fn reserve(&mut self, cost: RequestCost) -> Result<Duration> {
        if self.connection.has_ended_session() {
            return Err(connection_closing());
        }
        let now = Instant::now();
        let max_wait = self.backlog.max_wait(now);
        let rates = self.hub.rates();
        let wait = rates.reserve(&self.connection, cost, now, max_wait)?;
        if !wait.is_zero() {
            self.backlog.start(now);
        }
        Ok(wait)
    }

    /// As [`reserve`](Self::reserve), with the permit of a room that has a rate of its own.
    pub(super) fn reserve_all(
        &mut self,
        cost: RequestCost,
        request: &Result<Request>,
    ) -> Result<Duration> {
        let wait = self.reserve(cost)?;
        let Ok(Request::Publish(publish)) = request else {
            return Ok(wait);
        };
        let now = Instant::now();
        let max_wait = self.backlog.max_wait(now);
        let connection = &*self.connection;
        let in_room = self
            .hub
            .reserve_in_room(connection, &publish.room, now, max_wait)?;
        if !in_room.is_zero() {
            self.backlog.start(now);
        }
        Ok(wait.max(in_room))
    }

    /// Drives everything else until a permit may be used, or the client has gone.
    pub(super) async fn delay(&mut self, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        self.hub.metrics().held_back(wait);
        let ended = self.ended.clone();
        let mut over = std::pin::pin!(tokio::time::sleep(wait));
        loop {
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = &mut over => return,
                () = self.drive() => {}
            }
        }
    }

    /// Whether only the newest event of this kind counts.
    pub(super) fn is_newest_only(&self, publish: &Publish) -> bool {
        publish.ephemeral && self.hub.limits().newest.contains(&publish.event)
    }

    /// Replaces an older event that still waits for its permit; returns a request that replaces none.
    pub(super) fn supersede(
        &mut self,
        target: S::Target,
        request: Result<Request>,
    ) -> Option<(S::Target, Result<Request>)> {
        match request {
            Ok(Request::Publish(publish)) if self.is_newest_only(&publish) => {
                let room = publish.room.clone();
                match self.latest.replace(target, publish) {
                    Ok(older) => {
                        // Nobody needs the older one any more.
                        self.reply(older, &Ok(Reply::Sent { room }));
                        None
                    }
                    Err((target, publish)) => Some((target, Ok(Request::Publish(publish)))),
                }
            }
            request => Some((target, request)),
        }
    }

    /// Sends the newest event whose permit may be used.
    pub(super) fn send_latest(&mut self) {
        let Some((target, publish)) = self.latest.pop() else {
            return;
        };
        let (hub, connection) = (self.hub.clone(), self.connection.clone());
        // Whatever comes after it waits until it is sent.
        let span = self.publish_span(&publish);
        let sending = async move {
            let room = publish.room.clone();
            let sent = hub.publish_admitted(&connection, publish).await;
            (target, sent.map(|_| Reply::Sent { room }))
        };
        self.in_flight.push_stored(sending.instrument(span));
    }
}
