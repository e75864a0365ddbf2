//! Carries out the requests of one connection in the order in which they came, whatever the transport.
//!
//! A message takes its place in the log's order before the next request is looked at, but storing it is not waited for: many
//! are in flight at once and are replied to in order. Every other request waits until those before it are stored. A
//! transport parses requests, hands them over, and writes the replies. Rates are enforced here, too (`pacing`).

use std::{future::Future, sync::Arc, time::Instant};

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use self::in_flight::InFlight;
use super::{
    Join, PresenceRequest, Publish, PublishOutcome, Reply, Request, RequestCost, SetStatus, Signal,
};
use crate::{
    error::{Code, Error, Limit, Result},
    hub::{
        CloseReason, Connection, DisconnectGuard, Hub, TokenExpiry,
        connections::{ConflatingQueue, RateBacklog},
    },
    model::{RoomName, Seq},
    retry::log_in_bursts,
    traces::{self, ClientEvent},
};

mod in_flight;
mod pacing;

/// Where a transport writes replies.
pub trait ReplySink: Send + 'static {
    /// What a reply has to name: the request's number, for instance.
    type Target: Send + 'static;

    /// Sends the reply to a request, behind all that was pushed before.
    fn reply(&self, target: Self::Target, result: Result<&Reply, &Error>);
}

/// The requests of one connection, which is disconnected when this is dropped.
pub struct Executor<S: ReplySink> {
    hub: Hub,
    connection: Arc<Connection>,
    sink: S,
    in_flight: InFlight<S::Target>,
    expiry: TokenExpiry,
    backlog: RateBacklog,
    latest: ConflatingQueue<S::Target>,
    /// The client's last message that was stored: it may not be delivered yet, and does not end the typing that starts now.
    last_stored: Option<(RoomName, Seq)>,
    /// Cancelled when the client has gone.
    ended: CancellationToken,
    /// Requests that were refused for their rate, one after another.
    refused: usize,
    _disconnect: DisconnectGuard,
}

impl<S: ReplySink> Executor<S> {
    /// An executor for a connection, whose replies go to `sink`. Once `ended` is cancelled, the requests that come were sent
    /// before: they are no longer delayed, and as many are carried out as if the client had stayed.
    pub fn new(hub: Hub, connection: Arc<Connection>, sink: S, ended: CancellationToken) -> Self {
        let expiry = TokenExpiry::new(&connection, hub.grace());
        let backlog = RateBacklog::new(hub.limits().backpressure);
        Self {
            _disconnect: DisconnectGuard::new(&hub, &connection),
            in_flight: InFlight::new(hub.reply_budget()),
            hub,
            connection,
            sink,
            expiry,
            backlog,
            latest: ConflatingQueue::new(),
            last_stored: None,
            ended,
            refused: 0,
        }
    }

    /// Where replies are written.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// The connection whose requests these are.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether the transport may read the next request: not while the client does not read its replies, or too many messages are
    /// in flight.
    pub fn accepts_requests(&self) -> bool {
        !self.connection.sink().is_behind() && self.in_flight.has_room()
    }

    /// Sends replies that have become ready and handles the token's expiry; ready whenever something was done. May be dropped
    /// at any time.
    pub async fn drive(&mut self) {
        if !self.connection.sink().is_behind()
            && let Some((target, result)) = self.in_flight.next_signal_reply()
        {
            return self.reply(target, &result);
        }
        tokio::select! {
            biased;
            stored = self.in_flight.progress() => {
                if let Some((target, result)) = stored {
                    self.reply(target, &result);
                }
            }
            () = self.expiry.due(), if !self.ended.is_cancelled() => self.expiry.advance(&self.connection),
            () = self.latest.due() => self.send_latest(),
            () = drained(&self.connection) => {}
        }
    }

    /// Whether nothing is under way and nothing waits, so that [`drive`](Self::drive) has nothing to do before the token expires
    /// ([`expires_at`](Self::expires_at)); memory that is not needed meanwhile is freed then.
    pub fn rest(&mut self) -> bool {
        let resting = self.latest.is_empty() && self.in_flight.release_if_empty();
        if resting {
            self.note_caught_up();
        }
        resting
    }

    /// When [`drive`](Self::drive) has something to do about the client's token; `None`: never.
    pub fn expires_at(&self) -> Option<tokio::time::Instant> {
        self.expiry.next()
    }

    /// Drives everything else while a transport does something that is no [`Request`].
    pub async fn drive_while<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.drive() => {}
            }
        }
    }

    /// Everything that the client has sent so far was carried out: it is not behind.
    pub fn note_caught_up(&mut self) {
        self.backlog.reset();
    }

    /// Carries out a request, or sends the error of one that could not be parsed.
    pub async fn execute(&mut self, target: S::Target, request: Result<Request>) {
        let span = match &request {
            Ok(Request::Publish(publish)) => self.publish_span(publish),
            Ok(request) => self.span(request.name(), request.room(), None),
            Err(_) => self.span("invalid", None, None),
        };
        self.execute_traced(target, request).instrument(span).await;
    }

    async fn execute_traced(&mut self, target: S::Target, request: Result<Request>) {
        self.hub.record_activity(&self.connection);
        let cost = self.cost(&request);
        let Some((target, request)) = self.supersede(target, request) else {
            return;
        };
        let wait = match self.reserve_all(cost, &request) {
            Ok(wait) => wait,
            // Behind the replies to what came before.
            Err(error) => {
                traces::record_error(&traces::current(), error.code().as_str());
                return self
                    .in_flight
                    .push_stored(std::future::ready((target, Err(error))));
            }
        };
        match request {
            Ok(Request::Publish(publish))
                if !wait.is_zero() && self.is_newest_only(&publish) && self.latest.has_room() =>
            {
                self.latest.push(target, publish, Instant::now() + wait);
            }
            request => {
                self.delay(wait).await;
                self.carry_out(target, request).await;
            }
        }
    }

    async fn carry_out(&mut self, target: S::Target, request: Result<Request>) {
        if let Ok(Request::Publish(publish)) = request {
            if publish.ephemeral {
                self.wait_stored().await;
                let result = self.send(publish).await;
                return self.conclude(target, &result);
            }
            return self.append(publish, target).await;
        }
        self.wait_stored().await;
        match request {
            Ok(Request::Join(join)) => self.join(join, target).await,
            Ok(Request::Signal(signal)) => self.signal(&signal, target),
            Ok(request) => {
                let result = self.perform(request).await;
                self.conclude(target, &result);
            }
            Err(error) => self.conclude(target, &Err(error)),
        }
    }

    /// Replies to the request that is being carried out, and records in its span if it has failed.
    fn conclude(&mut self, target: S::Target, result: &Result<Reply>) {
        record_failure(&traces::current(), result);
        self.reply(target, result);
    }

    fn publish_span(&self, publish: &Publish) -> Span {
        let event = publish.event.as_str();
        self.span("publish", Some(&publish.room), Some(event))
    }

    /// The span of something that this connection's client asks for: `event` is the event's own name, where there are many.
    pub fn span(&self, name: &'static str, room: Option<&RoomName>, event: Option<&str>) -> Span {
        let event = ClientEvent {
            name,
            event,
            room: room.map(RoomName::as_str),
            connection: &self.connection.id(),
            parent: self.connection.trace(),
        };
        event.span()
    }

    /// Carries out what still waits for its turn; for the end.
    pub async fn finish(&mut self) {
        while !self.latest.is_empty() {
            self.send_latest();
        }
        self.wait_stored().await;
    }

    /// Waits until every message in flight is stored and replied to.
    async fn wait_stored(&mut self) {
        while let Some((target, result)) = self.in_flight.next_stored().await {
            self.reply(target, &result);
        }
    }

    /// Counts the result of a request; transports call it for requests that they reply to themselves.
    pub fn note(&mut self, error: Option<&Error>) {
        let Some(error) = error else {
            self.refused = 0;
            return;
        };
        self.hub.metrics().error(error);
        if error.code() == Code::Internal {
            log_in_bursts!(error, connection = ?self.connection, %error, cause = ?std::error::Error::source(error), "a request failed");
        }
        if error.code() == Code::RateLimited {
            self.refused += 1;
            let max = self.hub.limits().refusals;
            if max != 0 && self.refused >= max {
                self.connection.close(CloseReason::Flooding);
            }
        }
    }

    fn reply(&mut self, target: S::Target, result: &Result<Reply>) {
        let result = result.as_ref();
        self.note(result.err());
        if let Ok(Reply::Stored { room, appended }) = result {
            self.last_stored = Some((room.clone(), appended.seq));
        }
        self.sink.reply(target, result);
    }

    /// Gives a message its place in the log's order; the reply comes when it is stored.
    async fn append(&mut self, publish: Publish, target: S::Target) {
        let room = publish.room.clone();
        let span = traces::current();
        let accepted = self.publish(publish).await;
        self.in_flight.push_stored(async move {
            let result = match accepted {
                Ok(PublishOutcome::Accepted(pending)) => {
                    let appended = pending.settled().await;
                    appended.map(|appended| Reply::Stored { room, appended })
                }
                Ok(PublishOutcome::Sent) => Ok(Reply::Sent { room }),
                Err(error) => Err(error),
            };
            record_failure(&span, &result);
            (target, result)
        });
    }

    /// Publishes in the client's name; while a hook is asked, everything else goes on.
    async fn publish(&mut self, publish: Publish) -> Result<PublishOutcome> {
        if !self.hub.asks_about(&publish) {
            return self.hub.publish_admitted(&self.connection, publish).await;
        }
        let (hub, connection) = (self.hub.clone(), self.connection.clone());
        let published = Box::pin(hub.publish_admitted(&connection, publish));
        self.drive_while(published).await
    }

    /// Sends an event that is not stored.
    async fn send(&mut self, publish: Publish) -> Result<Reply> {
        let room = publish.room.clone();
        self.publish(publish).await?;
        Ok(Reply::Sent { room })
    }

    /// Sends a signal; the reply comes when its receivers have replied.
    fn signal(&mut self, signal: &Signal, target: S::Target) {
        let max = self.hub.limits().signals;
        let sent = if max != 0 && self.in_flight.signals() >= max {
            let message = format!("{max} signals wait for a reply already");
            Err(Error::new(Code::LimitReached, message).for_limit(Limit::Signals))
        } else {
            let budget = self.in_flight.signal_budget();
            self.hub.signal_within(&self.connection, signal, budget)
        };
        match sent {
            Ok(replies) => {
                let span = traces::current();
                self.in_flight.push_signal(async move {
                    let result = replies.await.map(Reply::Signal);
                    record_failure(&span, &result);
                    (target, result)
                });
            }
            Err(error) => self.conclude(target, &Err(error)),
        }
    }

    /// Joins a room, replies, and only then lets the live events through.
    async fn join(&mut self, join: Join, target: S::Target) {
        let (hub, connection) = (self.hub.clone(), self.connection.clone());
        // A hook may be asked.
        let joined = Box::pin(hub.join(&connection, join));
        match self.drive_while(joined).await {
            Ok(joined) => {
                let reply = Reply::Joined(joined);
                self.note(None);
                self.sink.reply(target, Ok(&reply));
                if let Reply::Joined(joined) = &reply {
                    self.hub.go_live(joined);
                }
            }
            Err(error) => self.conclude(target, &Err(error)),
        }
    }

    /// Carries out a request that is replied to at once.
    async fn perform(&mut self, request: Request) -> Result<Reply> {
        let (hub, connection) = (&self.hub, &self.connection);
        Ok(match request {
            Request::Leave(room) => {
                hub.leave(connection, &room).await?;
                Reply::Left { room }
            }
            Request::History(history) => {
                let (hub, connection) = (self.hub.clone(), self.connection.clone());
                // A hook may be asked.
                let read = Box::pin(hub.history(&connection, history));
                Reply::History(self.drive_while(read).await?)
            }
            Request::Refresh(token) => {
                let expires_at = hub.refresh(connection, &token).await?;
                // Only now: a token that is rejected must not restart the grace time of an expired one.
                self.expiry = TokenExpiry::new(connection, hub.grace());
                Reply::Refreshed { expires_at }
            }
            Request::Presence(PresenceRequest { room, limit, after }) => {
                let page = hub.presence(connection, room, limit, after.as_ref());
                Reply::Presence(page.await?)
            }
            Request::Status(SetStatus { status, info }) => Reply::Status {
                status: hub.status(connection, &status, info)?,
            },
            Request::Typing(room, typing) => {
                let last = self.last_stored.as_ref();
                let after = last.filter(|(of, _)| *of == room).map(|(_, seq)| *seq);
                hub.typing_after(connection, &room, typing, after)?;
                Reply::Sent { room }
            }
            Request::Read(room, seq) => Reply::Read(hub.read(connection, room, seq).await?),
            Request::Join(_) | Request::Publish(_) | Request::Signal(_) => {
                let message = "this request is not replied to at once";
                return Err(Error::new(Code::Internal, message));
            }
        })
    }
}

/// Records in the span of a request that it has failed.
fn record_failure(span: &Span, result: &Result<Reply>) {
    if let Err(error) = result {
        traces::record_error(span, error.code().as_str());
    }
}

/// Ready when a client that was behind has caught up.
async fn drained(connection: &Connection) {
    let sink = connection.sink();
    match sink.is_behind() {
        true => sink.drained().await,
        false => std::future::pending().await,
    }
}
