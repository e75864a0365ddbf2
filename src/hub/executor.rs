//! Carries out what the client of one connection asks, in the order in which it asked, whatever the door.
//!
//! A message takes its place in the log's order before the next request is looked at, but its storing is not waited for:
//! many are under way at once and are answered in order. Every other request waits until those before it are stored. A door
//! parses requests, hands them over, and writes the answers.

use std::{future::Future, pin::Pin, sync::Arc, time::Instant};

use futures_util::{
    StreamExt,
    stream::{FuturesOrdered, FuturesUnordered},
};

use super::{
    Answer, Close, Connection, Departure, Expiry, Hub, Join, Publish, Publishing, Request, Roll,
    Signal, Status,
};
use crate::error::{Code, Error, Limit, Result};

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
    expiry: Option<Expiry>,
    /// Requests that were refused for their rate, one after another.
    refused: usize,
    _departure: Departure,
}

impl<D: Desk> Executor<D> {
    /// For a connection, whose answers `desk` writes.
    pub fn new(hub: Hub, connection: Arc<Connection>, desk: D) -> Self {
        let expiry = Some(Expiry::of(&connection, hub.grace()));
        Self {
            _departure: Departure::of(&hub, &connection),
            hub,
            connection,
            desk,
            stored: FuturesOrdered::new(),
            signals: FuturesUnordered::new(),
            expiry,
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
        !self.connection.outlet().is_behind() && self.stored.len() < UNDER_WAY
    }

    /// Answers what has become ready, and sees to the token's end; ready whenever something was done. Whoever waits for
    /// something else besides may drop it.
    pub async fn go_on(&mut self) {
        tokio::select! {
            biased;
            Some((asked, result)) = self.stored.next() => self.answer(asked, &result),
            Some((asked, result)) = self.signals.next() => self.answer(asked, &result),
            () = due(self.expiry.as_ref()) => {
                if let Some(expiry) = &mut self.expiry {
                    expiry.act(&self.connection);
                }
            }
            () = drained(&self.connection) => {}
        }
    }

    /// The client has gone: nothing is done any more about its token.
    pub fn client_gone(&mut self) {
        self.expiry = None;
    }

    /// Carries out a request, or refuses what could not be read as one.
    pub async fn execute(&mut self, asked: D::Asked, request: Result<Request>) {
        self.hub.acted(&self.connection);
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
            Err(error) => {
                // It costs what any request costs: rubbish would come at no rate at all otherwise.
                let permit = self
                    .hub
                    .take_message_permit(&self.connection, Instant::now());
                self.answer(asked, &Err(permit.err().unwrap_or(error)));
            }
        }
    }

    /// Before a door does something that is no [`Request`]: waits until those before it are stored, and takes a permit
    /// for it.
    pub async fn make_way(&mut self) -> Result<()> {
        self.hub.acted(&self.connection);
        self.settle().await;
        self.hub
            .take_message_permit(&self.connection, Instant::now())
    }

    /// Waits until every message under way is stored and answered.
    pub async fn settle(&mut self) {
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
            tracing::error!(connection = ?self.connection, %error, cause = ?std::error::Error::source(error), "a request failed");
        }
        if error.code() == Code::RateLimited {
            self.refused += 1;
            let most = self.hub.limits().refusals;
            if most != 0 && self.refused >= most {
                self.connection.close(Close::Flooding);
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
        let (room, began) = (publish.room.clone(), Instant::now());
        let accepted = self.hub.publish(&self.connection, publish).await;
        let metrics = self.hub.metrics().clone();
        self.stored.push_back(Box::pin(async move {
            let result = match accepted {
                Ok(Publishing::Accepted(receipt)) => {
                    let appended = receipt.settled().await;
                    appended.map(|appended| Answer::Stored { room, appended })
                }
                Ok(Publishing::Sent) => Ok(Answer::Sent { room }),
                Err(error) => Err(error),
            };
            metrics.appended(began.elapsed());
            (asked, result)
        }));
    }

    /// Passes on an event that is not kept.
    async fn send(&mut self, publish: Publish) -> Result<Answer> {
        let room = publish.room.clone();
        self.hub.publish(&self.connection, publish).await?;
        Ok(Answer::Sent { room })
    }

    /// Sends a signal; it is answered when its receivers have answered.
    fn signal(&mut self, signal: &Signal, asked: D::Asked) {
        let most = self.hub.limits().signals;
        let sent = if most != 0 && self.signals.len() >= most {
            let message = format!("{most} signals wait for an answer already");
            Err(Error::new(Code::LimitReached, message).for_limit(Limit::Signals))
        } else {
            self.hub.signal(&self.connection, signal)
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
                    self.hub.go_live(&self.connection, joined);
                }
            }
            Err(error) => self.answer(asked, &Err(error)),
        }
    }

    /// The requests that have their answer at once.
    async fn perform(&mut self, request: Request) -> Result<Answer> {
        let (hub, connection) = (&self.hub, &self.connection);
        hub.take_message_permit(connection, Instant::now())?;
        Ok(match request {
            Request::Leave(room) => {
                hub.leave(connection, &room).await?;
                Answer::Left { room }
            }
            Request::History(history) => Answer::History(hub.history(connection, history).await?),
            Request::Refresh(token) => {
                let expires_at = hub.refresh(connection, &token).await?;
                // Only now: were it refused, the grace time of an expired token would begin anew.
                self.expiry = Some(Expiry::of(connection, hub.grace()));
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
    let outlet = connection.outlet();
    match outlet.is_behind() {
        true => outlet.drained().await,
        false => std::future::pending().await,
    }
}

async fn due(expiry: Option<&Expiry>) {
    match expiry {
        Some(expiry) => expiry.due().await,
        None => std::future::pending().await,
    }
}
