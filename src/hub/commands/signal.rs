//! `signal`: a word to one user or one connection, with its answer back. Enough for a WebRTC handshake.
//!
//! Receivers may be on any node. Whether they may be signalled is decided where they are: only there it is known which rooms
//! they are in.

pub(in crate::hub) mod reply_budget;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::hub::{
    Connection, Hub, Outgoing,
    commands::signal::reply_budget::{HeldReply, ReplyBudget},
    peers::Ask,
};
use crate::{
    auth::{Grants, Permission},
    error::{Code, Error, Limit, Result},
    limits::{Holder, Reservation},
    model::{ConnectionId, Namespace, RoomName, UserId},
    telemetry::Metrics,
};

/// How long a receiver may take if the sender says nothing else, and at most.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_PATIENCE: Duration = Duration::from_secs(30);

/// How much longer other nodes may take than their receivers.
const ON_THE_WAY: Duration = Duration::from_millis(500);

/// Whom a signal is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum To {
    /// Every connection of a user.
    User(UserId),
    /// One connection.
    Connection(ConnectionId),
    /// A connection by something that is no connection's id.
    Nobody,
}

/// A word to somebody.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Whom it is for.
    pub to: To,
    /// What it is about.
    pub event: String,
    /// What to say, byte for byte.
    pub data: Arc<RawValue>,
    /// How long to wait for answers.
    pub timeout: Option<Duration>,
}

/// What came back.
#[derive(Debug, Serialize)]
pub struct Replies {
    /// One for each receiver that answered, in the order of their connections on each node, this one first.
    pub replies: Vec<Reply>,
    /// Receivers that did not answer in time, or whose answers are more than `limits.signal_bytes`.
    pub missing: usize,
    #[serde(skip)]
    held: Vec<HeldReply>,
}

/// An answer to a signal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// Who answered.
    pub user: UserId,
    /// By which connection.
    pub connection: ConnectionId,
    /// What: the only argument as it is, several as an array. `None` for an answer without arguments.
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    pub data: Option<Box<RawValue>>,
    /// How many arguments `data` holds, if several: one of them may be an array, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<usize>,
    /// Why the answer is not passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
}

/// An error as its receiver reads it, whatever node it comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// The stable word.
    pub code: String,
    /// The sentence for a human.
    pub message: String,
}

/// Reads a value that is there, `null` included.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl Reply {
    /// What a connection of `user` answered.
    fn new(user: UserId, connection: ConnectionId, answer: Result<Vec<Box<RawValue>>>) -> Self {
        let mut reply = Self {
            user,
            connection,
            data: None,
            arguments: None,
            error: None,
        };
        match answer {
            Ok(mut values) if values.len() < 2 => reply.data = values.pop(),
            Ok(values) => {
                reply.arguments = Some(values.len());
                reply.data = to_raw_value(&values).ok();
            }
            Err(error) => {
                reply.error = Some(Refusal {
                    code: error.code().to_string(),
                    message: error.message().to_owned(),
                });
            }
        }
        reply
    }
}

/// A signal on its way to its receivers on one node or another.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::hub) struct Passing {
    to: To,
    from: From,
    namespace: Namespace,
    grants: Arc<Grants>,
    /// Those of the sender's rooms whose members it may signal.
    rooms: Vec<RoomName>,
    event: String,
    data: Arc<RawValue>,
    within: Duration,
}

/// Who sends it.
#[derive(Debug, Serialize, Deserialize)]
struct From {
    user: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Arc<str>>,
    connection: ConnectionId,
}

#[derive(Serialize)]
struct Told<'a> {
    from: &'a From,
    event: &'a str,
    data: &'a RawValue,
}

/// Tells who answered a signal that its answer was refused.
#[derive(Serialize)]
struct Unanswered<'a> {
    event: &'static str,
    #[serde(flatten)]
    error: &'a Error,
}

/// What became of a signal on one node.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::hub) struct Passed {
    /// Somebody it is for is there.
    found: bool,
    /// The sender may signal them; if not, they were told nothing.
    permitted: bool,
    replies: Vec<Reply>,
    missing: usize,
    #[serde(skip)]
    held: Vec<HeldReply>,
}

/// What the names and ids of an answer take, about.
const OVERHEAD: usize = 256;

/// A signal that waits for its answers, in the metrics for as long.
struct Waiting(Arc<Metrics>);

impl Waiting {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.signals.inc();
        Self(metrics)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.signals.dec();
    }
}

impl Hub {
    /// Sends a signal; the answer to this is ready when every receiver on every node has answered or the time is over. Those
    /// on this node are told before this returns. While other nodes cannot be reached, receivers are those on this one.
    pub fn signal(
        &self,
        connection: &Connection,
        signal: &Signal,
    ) -> Result<impl Future<Output = Result<Replies>> + Send + 'static> {
        self.signal_within(connection, signal, self.reply_budget())
    }

    /// Sends a signal whose answers take their bytes out of `budget`.
    pub(in crate::hub) fn signal_within(
        &self,
        connection: &Connection,
        signal: &Signal,
        budget: Arc<ReplyBudget>,
    ) -> Result<impl Future<Output = Result<Replies>> + Send + 'static> {
        self.check_data(&signal.data)?;
        let passing = Arc::new(Passing::of(connection, signal));
        let to = signal.to.clone();
        let place = match self.is_for_others(&to) {
            true => Some(self.take_signal(&passing)?),
            false => None,
        };
        let here = self.pass_within(&passing, &budget);
        let (hub, counted) = (self.clone(), Waiting::new(self.0.metrics.clone()));
        Ok(async move {
            let _counted = counted;
            let elsewhere = async {
                let passed = match place {
                    Some(_) => hub.pass_elsewhere(&passing).await,
                    None => Vec::new(),
                };
                drop(passing); // what was said is not held until the last has answered
                passed
            };
            let (here, elsewhere) = tokio::join!(here, elsewhere);
            hub.settle(&to, here, elsewhere, &budget)
        })
    }

    /// Room for the answers to the signals of one connection.
    pub(in crate::hub) fn reply_budget(&self) -> Arc<ReplyBudget> {
        let limits = &self.0.limits;
        let one = limits.message_bytes.bytes().saturating_add(OVERHEAD);
        ReplyBudget::new(limits.signal_bytes.bytes().max(one))
    }

    /// Tells the receivers on this node for another one, and answers what became of it.
    fn pass(&self, passing: &Passing) -> impl Future<Output = Passed> + Send + use<> {
        self.pass_within(passing, &self.reply_budget())
    }

    fn pass_within(
        &self,
        passing: &Passing,
        budget: &Arc<ReplyBudget>,
    ) -> impl Future<Output = Passed> + Send + use<> {
        let receivers = self.receivers(passing);
        let (found, permitted) = (!receivers.is_empty(), passing.is_permitted(&receivers));
        let event = Outgoing::notice(
            "signal",
            &Told {
                from: &passing.from,
                event: &passing.event,
                data: &passing.data,
            },
        );
        // Other nodes may say anything.
        let within = passing.within.min(MOST_PATIENCE);
        let receivers = receivers.into_iter().filter(|_| permitted);
        let waiting: Vec<_> = receivers
            .filter_map(|receiver| {
                let answer = receiver.sink().push_with_reply(&event, within)?;
                // Not the connection itself: one that ends would keep its user's place until the time is over.
                let (user, connection) = (receiver.principal().user.clone(), receiver.id());
                let (hub, budget) = (self.clone(), budget.clone());
                Some(async move {
                    let answer = hub.check_answer(connection, answer.await?);
                    let reply = Reply::new(user, connection, answer);
                    let held = hub.hold(&reply, &budget)?;
                    Some((reply, held))
                })
            })
            .collect();
        async move {
            let asked = waiting.len();
            let answered = join_all(waiting).await.into_iter().flatten();
            let (replies, held): (Vec<_>, Vec<_>) = answered.unzip();
            Passed {
                found,
                permitted,
                missing: asked - replies.len(),
                replies,
                held,
            }
        }
    }

    /// Takes the bytes of an answer; `None` if there are not so many left.
    fn hold(&self, reply: &Reply, budget: &Arc<ReplyBudget>) -> Option<HeldReply> {
        let data = reply.data.as_ref().map_or(0, |data| data.get().len());
        let held = budget.take(data + OVERHEAD);
        if held.is_none() {
            self.0.metrics.limited(Limit::SignalBytes);
        }
        held
    }

    /// Refuses an answer that is larger than data may be, and tells the connection that gave it.
    fn check_answer(
        &self,
        connection: ConnectionId,
        answer: Result<Vec<Box<RawValue>>>,
    ) -> Result<Vec<Box<RawValue>>> {
        let checked = answer.and_then(|values| {
            let bytes = values.iter().map(|value| value.get().len()).sum();
            self.check_bytes(bytes)?;
            for value in &values {
                self.check_nesting(value)?;
            }
            Ok(values)
        });
        if let Err(error) = &checked {
            self.0.metrics.error(error);
            let found = self.0.connections.get(&connection);
            if let Some(connection) = found.map(|found| found.clone()) {
                let notice = Outgoing::notice(
                    "error",
                    &Unanswered {
                        event: "signal",
                        error,
                    },
                );
                connection.sink().push(&notice);
            }
        }
        checked
    }

    /// What became of a signal on all nodes.
    fn settle(
        &self,
        to: &To,
        here: Passed,
        elsewhere: Vec<Passed>,
        budget: &Arc<ReplyBudget>,
    ) -> Result<Replies> {
        let mut replies = Replies {
            replies: here.replies,
            missing: here.missing,
            held: here.held,
        };
        let (mut found, mut permitted) = (here.found, here.permitted);
        for passed in elsewhere {
            found |= passed.found;
            permitted |= passed.permitted;
            // Other nodes may say anything.
            replies.missing = replies.missing.saturating_add(passed.missing);
            for reply in passed.replies {
                match self.hold(&reply, budget) {
                    Some(held) => {
                        replies.replies.push(reply);
                        replies.held.push(held);
                    }
                    None => replies.missing = replies.missing.saturating_add(1),
                }
            }
        }
        let whom = match to {
            To::User(user) if !permitted => user.to_string(),
            To::Connection(_) if found && !permitted => "this connection".to_owned(),
            To::User(_) => return Ok(replies),
            To::Connection(_) | To::Nobody => {
                replies.missing += usize::from(!found);
                return Ok(replies);
            }
        };
        Err(Error::forbidden(format!(
            "this identity may not signal {whom}: they share no room where it has the grant"
        )))
    }

    /// Whether a signal may have receivers on other nodes.
    fn is_for_others(&self, to: &To) -> bool {
        self.0.backend.cluster.is_some()
            && match to {
                To::User(_) => true,
                To::Connection(id) => !self.0.connections.contains_key(id),
                To::Nobody => false,
            }
    }

    /// Takes a place among the signals that wait for answers between nodes: each of its sender's may wait half a minute.
    fn take_signal(&self, passing: &Passing) -> Result<Reservation> {
        let holder = Holder::User(passing.from.user.clone());
        let place = self.0.signals.take(holder, 1);
        place.map_err(|_| {
            let message = "too many signals wait for answers of other nodes; try again";
            Error::new(Code::LimitReached, message)
                .for_limit(Limit::Signals)
                .retry_after(Duration::from_secs(1))
        })
    }

    /// As [`pass`](Self::pass), for a sender that has not too many of them under way.
    pub(in crate::hub) async fn pass_for_another_node(&self, passing: &Passing) -> Result<Passed> {
        let _place = self.take_signal(passing)?;
        Ok(self.pass(passing).await)
    }

    /// Has the other nodes pass a signal on.
    async fn pass_elsewhere(&self, passing: &Arc<Passing>) -> Vec<Passed> {
        let within = passing.within + ON_THE_WAY;
        let passed = self.ask_others(&Ask::Signal(passing.clone()), within).await;
        passed.unwrap_or_else(|error| {
            tracing::debug!(%error, "a signal reaches only this node");
            Vec::new()
        })
    }

    /// Who gets a signal here.
    fn receivers(&self, passing: &Passing) -> Vec<Arc<Connection>> {
        let mut receivers: Vec<_> = match &passing.to {
            To::Connection(id) => self
                .0
                .connections
                .get(id)
                .map(|found| found.clone())
                .into_iter()
                .collect(),
            To::User(user) => self.connections_of(user),
            To::Nobody => Vec::new(),
        };
        // A user's other connections; the one that signals knows what it said.
        receivers.retain(|receiver| receiver.id() != passing.from.connection);
        receivers
    }
}

impl Passing {
    fn of(sender: &Connection, signal: &Signal) -> Self {
        let principal = sender.principal();
        let mut rooms = sender.rooms();
        rooms.retain(|room| !room.is_personal() && principal.may(Permission::Signal, room));
        Self {
            to: signal.to.clone(),
            from: From {
                user: principal.user.clone(),
                name: principal.name.clone(),
                connection: sender.id(),
            },
            namespace: sender.namespace().clone(),
            grants: principal.grants.clone(),
            rooms,
            event: signal.event.clone(),
            data: signal.data.clone(),
            within: signal.timeout.unwrap_or(PATIENCE).min(MOST_PATIENCE),
        }
    }

    /// Whether the sender may signal the user whose connections these are.
    fn is_permitted(&self, receivers: &[Arc<Connection>]) -> bool {
        let found = receivers
            .first()
            .map(|first| first.principal().user.clone());
        let user = match &self.to {
            To::User(user) => Some(user.clone()),
            To::Connection(_) | To::Nobody => found,
        };
        let anywhere = user.is_some_and(|user| {
            let personal = RoomName::personal(&user);
            user == self.from.user || self.grants.allow(Permission::Signal, &personal)
        });
        anywhere
            || receivers
                .iter()
                .filter(|receiver| *receiver.namespace() == self.namespace)
                .any(|receiver| self.rooms.iter().any(|room| receiver.is_in(room)))
    }
}
