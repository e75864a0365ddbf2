//! `signal`: a word to one user or one connection, with its answer back. Enough for a WebRTC handshake.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Connection, Hub, Outgoing};
use crate::{
    auth::Permission,
    error::{Error, Result},
    model::{ConnectionId, RoomName, UserId},
    telemetry::Metrics,
};

/// How long a receiver may take if the sender says nothing else, and at most.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_PATIENCE: Duration = Duration::from_secs(30);

/// Whom a signal is for.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug, Serialize)]
pub struct Replies {
    /// One for each receiver that answered, in the order of their connections.
    pub replies: Vec<Reply>,
    /// Receivers that did not answer in time.
    pub missing: usize,
}

/// An answer to a signal.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// Who answered.
    pub user: UserId,
    /// By which connection.
    pub connection: ConnectionId,
    /// What.
    pub data: Box<RawValue>,
}

#[derive(Serialize)]
struct Told<'a> {
    from: From<'a>,
    event: &'a str,
    data: &'a RawValue,
}

#[derive(Serialize)]
struct From<'a> {
    user: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    connection: ConnectionId,
}

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
    /// Sends a signal; the answer to this is ready when every receiver has answered or the time is over. Whether it
    /// may be sent is decided, and it is sent, before this returns.
    pub fn signal(
        &self,
        connection: &Connection,
        signal: &Signal,
    ) -> Result<impl Future<Output = Replies> + Send + 'static> {
        self.take_message_permit(connection, Instant::now())?;
        self.check_data(&signal.data)?;
        let receivers = self.receivers(connection, &signal.to)?;
        let principal = connection.principal();
        let event = Outgoing::notice(
            "signal",
            &Told {
                from: From {
                    user: &principal.user,
                    name: principal.name.as_deref(),
                    connection: connection.id(),
                },
                event: &signal.event,
                data: &signal.data,
            },
        );
        let within = signal.timeout.unwrap_or(PATIENCE).min(MOST_PATIENCE);
        let unknown = !matches!(signal.to, To::User(_)) && receivers.is_empty();
        let waiting: Vec<_> = receivers
            .into_iter()
            .filter_map(|receiver| {
                let answer = receiver.outlet().ask(&event, within)?;
                // Not the connection itself: one that ends would keep its user's place until the time is over.
                let (user, connection) = (receiver.principal().user.clone(), receiver.id());
                Some(async move {
                    Some(Reply {
                        user,
                        connection,
                        data: answer.await?,
                    })
                })
            })
            .collect();
        let counted = Waiting::new(self.0.metrics.clone());
        Ok(async move {
            let _counted = counted;
            let asked = waiting.len();
            let replies: Vec<Reply> = join_all(waiting).await.into_iter().flatten().collect();
            Replies {
                missing: asked - replies.len() + usize::from(unknown),
                replies,
            }
        })
    }

    /// Who gets a signal of `sender`, if it may send it.
    fn receivers(&self, sender: &Connection, to: &To) -> Result<Vec<Arc<Connection>>> {
        let mut receivers: Vec<_> = match to {
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
        receivers.retain(|receiver| receiver.id() != sender.id());
        let user = match to {
            To::User(user) => Some(user.clone()),
            To::Connection(_) | To::Nobody => receivers
                .first()
                .map(|receiver| receiver.principal().user.clone()),
        };
        if let Some(user) = user
            && !self.may_signal(sender, &user, &receivers)
        {
            return Err(Error::forbidden(format!(
                "this identity may not signal {user}: they share no room where it has the grant"
            )));
        }
        Ok(receivers)
    }

    fn may_signal(
        &self,
        sender: &Connection,
        user: &UserId,
        receivers: &[Arc<Connection>],
    ) -> bool {
        let principal = sender.principal();
        if principal.user == *user || principal.may(Permission::Signal, &RoomName::personal(user)) {
            return true;
        }
        sender
            .rooms()
            .iter()
            .filter(|room| !room.is_personal() && principal.may(Permission::Signal, room))
            .any(|room| {
                receivers.iter().any(|receiver| {
                    receiver.namespace() == sender.namespace() && receiver.is_in(room)
                })
            })
    }
}
