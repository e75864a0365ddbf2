//! Carries out what the client of one connection asks, in the order in which it asked, whatever the door.
//!
//! A message takes its place in the log's order before the next request is looked at, but its storing is not waited for:
//! many are under way at once and are answered in order. Every other request waits until those before it are stored. A door
//! parses requests, hands them over, and writes the answers. Rates are kept here, too: see [`pace`](crate::hub::pace).

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    StreamExt,
    stream::{FuturesOrdered, FuturesUnordered},
};
use tokio_util::sync::CancellationToken;

use crate::hub::{
    Answer, CloseReason, Connection, DisconnectGuard, Hub, Join, Publish, Publishing, Request,
    Roll, Signal, Status, TokenExpiry, Toll,
    commands::signal::reply_budget::ReplyBudget,
    connections::connection_closing,
    connections::{ConflatingQueue, RateBacklog},
};
use crate::{
    error::{Code, Error, Limit, Result},
    retry::log_in_bursts,
};

/// Messages of one connection that may be on their way to the log.
const UNDER_WAY: usize = 1024;

/// Where a door writes answers.
pub trait Desk: Send + 'static {
    /// What an answer has to name: the request's number, for instance.
    type Asked: Send + 'static;

    /// Answers a request, behind all that was pushed before.
    fn answer(&self, asked: Self::Asked, result: Result<&Answer, &Error>);
}

type Answering<Asked> = Pin<Box<dyn Future<Output = (Asked, Result<Answer>)> + Send>>;

/// The requests of one connection, whose part ends with it.
pub struct Executor<D: Desk> {
    hub: Hub,
    connection: Arc<Connection>,
    desk: D,
    /// Messages on their way to the log, answered in order.
    stored: FuturesOrdered<Answering<D::Asked>>,
    /// Signals that wait for others, answered as the answers come.
    signals: FuturesUnordered<Answering<D::Asked>>,
    /// Answers to signals that go out once the client takes what it has been sent: others must not make it slow.
    replied: VecDeque<(D::Asked, Result<Answer>)>,
    /// What all of those answers may have together.
    replies: Arc<ReplyBudget>,
    expiry: TokenExpiry,
    backlog: RateBacklog,
    latest: ConflatingQueue<D::Asked>,
    /// Cancelled when nobody is there any more.
    ended: CancellationToken,
    /// Requests that were refused for their rate, one after another.
    refused: usize,
    _departure: DisconnectGuard,
}

impl<D: Desk> Executor<D> {
    /// For a connection, whose answers `desk` writes, and which is over once `ended` is cancelled: what comes after that was
    /// sent before. Nobody is held back any more then, and as much is carried out as if the client had stayed.
    pub fn new(hub: Hub, connection: Arc<Connection>, desk: D, ended: CancellationToken) -> Self {
        let expiry = TokenExpiry::new(&connection, hub.grace());
        let backlog = RateBacklog::new(hub.limits().backpressure);
        Self {
            _departure: DisconnectGuard::new(&hub, &connection),
            replied: VecDeque::new(),
            replies: hub.reply_budget(),
            hub,
            connection,
            desk,
            stored: FuturesOrdered::new(),
            signals: FuturesUnordered::new(),
            expiry,
            backlog,
            latest: ConflatingQueue::new(),
            ended,
            refused: 0,
        }
    }

    /// Where answers are written.
    pub fn desk(&self) -> &D {
        &self.desk
    }

    /// Whose requests these are.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether the client may be asked for its next request: not while it does not take its answers, or too much is under
    /// way.
    pub fn takes_more(&self) -> bool {
        !self.connection.sink().is_behind() && self.stored.len() < UNDER_WAY
    }

    /// Answers what has become ready, and sees to the token's end; ready whenever something was done. Whoever waits for
    /// something else besides may drop it.
    pub async fn go_on(&mut self) {
        if !self.connection.sink().is_behind()
            && let Some((asked, result)) = self.replied.pop_front()
        {
            return self.answer(asked, &result);
        }
        tokio::select! {
            biased;
            Some((asked, result)) = self.stored.next() => self.answer(asked, &result),
            Some(replied) = self.signals.next() => self.replied.push_back(replied),
            () = self.expiry.due(), if !self.ended.is_cancelled() => self.expiry.advance(&self.connection),
            () = self.latest.due() => self.pass_latest(),
            () = drained(&self.connection) => {}
        }
    }

    /// Everything that the client has sent so far was carried out: it is not behind.
    pub fn caught_up(&mut self) {
        self.backlog.reset();
    }

    /// Carries out a request, or refuses what could not be read as one.
    pub async fn execute(&mut self, asked: D::Asked, request: Result<Request>) {
        self.hub.record_activity(&self.connection);
        // What is no request costs what any request costs: rubbish would come at no rate at all otherwise.
        let toll = match &request {
            Ok(Request::Join(_)) => Toll::Join,
            Ok(Request::History(history)) if !self.connection.is_in(&history.room) => Toll::Join,
            Ok(Request::Publish(publish)) if publish.ephemeral => Toll::Event,
            _ => Toll::Message,
        };
        let (asked, request) = match self.supersede(asked, request) {
            Some(remaining) => remaining,
            None => return,
        };
        let wait = match self.reserve(toll) {
            Ok(wait) => wait,
            Err(error) => {
                // Behind the answers to what came before.
                let refused = std::future::ready((asked, Err(error)));
                return self.stored.push_back(Box::pin(refused));
            }
        };
        match request {
            Ok(Request::Publish(publish))
                if !wait.is_zero() && self.is_newest(&publish) && self.latest.has_room() =>
            {
                self.latest.push(asked, publish, Instant::now() + wait);
            }
            request => {
                self.hold_back(wait).await;
                self.carry_out(asked, request).await;
            }
        }
    }

    async fn carry_out(&mut self, asked: D::Asked, request: Result<Request>) {
        if let Ok(Request::Publish(publish)) = request {
            if publish.ephemeral {
                self.settle().await;
                let result = self.send(publish).await;
                return self.answer(asked, &result);
            }
            return self.append(publish, asked).await;
        }
        self.settle().await;
        match request {
            Ok(Request::Join(join)) => self.join(join, asked).await,
            Ok(Request::Signal(signal)) => self.signal(&signal, asked),
            Ok(request) => {
                let result = self.perform(request).await;
                self.answer(asked, &result);
            }
            Err(error) => self.answer(asked, &Err(error)),
        }
    }

    /// Before a door does something that is no [`Request`]: waits for its turn by the rates, and until those before it
    /// are stored.
    pub async fn make_way(&mut self, toll: Toll) -> Result<()> {
        self.hub.record_activity(&self.connection);
        let wait = self.reserve(toll)?;
        self.hold_back(wait).await;
        self.settle().await;
        Ok(())
    }

    /// Goes on with everything else while a door does something that is no [`Request`].
    pub async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.go_on() => {}
            }
        }
    }

    /// Takes the next permits, and says how long until they may be used.
    fn reserve(&mut self, toll: Toll) -> Result<Duration> {
        if self.connection.has_ended_session() {
            return Err(connection_closing());
        }
        let now = Instant::now();
        let patience = self.backlog.max_wait(now);
        let wait = self.hub.reserve(&self.connection, toll, now, patience)?;
        if !wait.is_zero() {
            self.backlog.start(now);
        }
        Ok(wait)
    }

    /// Goes on with everything else until a permit may be used.
    async fn hold_back(&mut self, wait: Duration) {
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
                () = self.go_on() => {}
            }
        }
    }

    /// Whether only the newest event of this kind counts.
    fn is_newest(&self, publish: &Publish) -> bool {
        publish.ephemeral && self.hub.limits().newest.contains(&publish.event)
    }

    /// Has an event take the place of an older one that still waits for its turn; what takes no place is given back.
    fn supersede(
        &mut self,
        asked: D::Asked,
        request: Result<Request>,
    ) -> Option<(D::Asked, Result<Request>)> {
        match request {
            Ok(Request::Publish(publish)) if self.is_newest(&publish) => {
                let room = publish.room.clone();
                match self.latest.replace(asked, publish) {
                    Ok(older) => {
                        // Of no interest to anybody any more.
                        self.answer(older, &Ok(Answer::Sent { room }));
                        None
                    }
                    Err((asked, publish)) => Some((asked, Ok(Request::Publish(publish)))),
                }
            }
            request => Some((asked, request)),
        }
    }

    /// Passes on the event whose turn it is.
    fn pass_latest(&mut self) {
        let Some((asked, publish)) = self.latest.pop() else {
            return;
        };
        let (hub, connection) = (self.hub.clone(), self.connection.clone());
        // Whatever comes after it waits until it is passed on.
        self.stored.push_back(Box::pin(async move {
            let room = publish.room.clone();
            let sent = hub.publish_admitted(&connection, publish).await;
            (asked, sent.map(|_| Answer::Sent { room }))
        }));
    }

    /// Carries out what still waits for its turn; for the end.
    pub async fn finish(&mut self) {
        while !self.latest.is_empty() {
            self.pass_latest();
        }
        self.settle().await;
    }

    /// Waits until every message under way is stored and answered.
    async fn settle(&mut self) {
        while let Some((asked, result)) = self.stored.next().await {
            self.answer(asked, &result);
        }
    }

    /// Counts what became of a request; for those that a door answers itself, too.
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
            let most = self.hub.limits().refusals;
            if most != 0 && self.refused >= most {
                self.connection.close(CloseReason::Flooding);
            }
        }
    }

    fn answer(&mut self, asked: D::Asked, result: &Result<Answer>) {
        let result = result.as_ref();
        self.note(result.err());
        self.desk.answer(asked, result);
    }

    /// Gives a message its place in the log's order; it is answered when it is stored.
    async fn append(&mut self, publish: Publish, asked: D::Asked) {
        let room = publish.room.clone();
        let accepted = self.hub.publish_admitted(&self.connection, publish);
        let accepted = accepted.await;
        self.stored.push_back(Box::pin(async move {
            let result = match accepted {
                Ok(Publishing::Accepted(receipt)) => {
                    let appended = receipt.settled().await;
                    appended.map(|appended| Answer::Stored { room, appended })
                }
                Ok(Publishing::Sent) => Ok(Answer::Sent { room }),
                Err(error) => Err(error),
            };
            (asked, result)
        }));
    }

    /// Passes on an event that is not kept.
    async fn send(&mut self, publish: Publish) -> Result<Answer> {
        let room = publish.room.clone();
        self.hub.publish_admitted(&self.connection, publish).await?;
        Ok(Answer::Sent { room })
    }

    /// Sends a signal; it is answered when its receivers have answered.
    fn signal(&mut self, signal: &Signal, asked: D::Asked) {
        let most = self.hub.limits().signals;
        let waiting = self.signals.len() + self.replied.len();
        let sent = if most != 0 && waiting >= most {
            let message = format!("{most} signals wait for an answer already");
            Err(Error::new(Code::LimitReached, message).for_limit(Limit::Signals))
        } else {
            let budget = self.replies.clone();
            self.hub.signal_within(&self.connection, signal, budget)
        };
        match sent {
            Ok(replies) => self.signals.push(Box::pin(async move {
                let replies = replies.await;
                (asked, replies.map(Answer::Replies))
            })),
            Err(error) => self.answer(asked, &Err(error)),
        }
    }

    /// Joins, answers, and only then lets the live events through.
    async fn join(&mut self, join: Join, asked: D::Asked) {
        match self.hub.join(&self.connection, join).await {
            Ok(joined) => {
                let reply = Answer::Joined(joined);
                self.note(None);
                self.desk.answer(asked, Ok(&reply));
                if let Answer::Joined(joined) = &reply {
                    self.hub.go_live(joined);
                }
            }
            Err(error) => self.answer(asked, &Err(error)),
        }
    }

    /// The requests that have their answer at once.
    async fn perform(&mut self, request: Request) -> Result<Answer> {
        let (hub, connection) = (&self.hub, &self.connection);
        Ok(match request {
            Request::Leave(room) => {
                hub.leave(connection, &room).await?;
                Answer::Left { room }
            }
            Request::History(history) => Answer::History(hub.history(connection, history).await?),
            Request::Refresh(token) => {
                let expires_at = hub.refresh(connection, &token).await?;
                // Only now: were it refused, the grace time of an expired token would begin anew.
                self.expiry = TokenExpiry::new(connection, hub.grace());
                Answer::Refreshed { expires_at }
            }
            Request::Presence(Roll { room, limit, after }) => {
                let page = hub.presence(connection, room, limit, after.as_ref());
                Answer::Presence(page.await?)
            }
            Request::Status(Status { status, info }) => Answer::Status {
                status: hub.status(connection, &status, info)?,
            },
            Request::Typing(room, typing) => {
                hub.typing(connection, &room, typing)?;
                Answer::Sent { room }
            }
            Request::Read(room, seq) => Answer::Read(hub.read(connection, room, seq).await?),
            Request::Join(_) | Request::Publish(_) | Request::Signal(_) => {
                let message = "this request is carried out elsewhere";
                return Err(Error::new(Code::Internal, message));
            }
        })
    }
}

/// Ready when a client that is behind is so no more.
async fn drained(connection: &Connection) {
    let outlet = connection.sink();
    match outlet.is_behind() {
        true => outlet.drained().await,
        false => std::future::pending().await,
    }
}
