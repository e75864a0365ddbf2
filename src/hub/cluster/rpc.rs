//! What the hubs of nodes ask each other: about connections, which only their own node knows.
//!
//! Every question goes to all other nodes, and each answers for itself. Where there are no others, nothing is asked.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::hub::{
    CloseReason, Connection, Hub, UserSummary, connections::STORE_RETRY, signal::Passing,
};
use crate::{
    backend::PeerRequest,
    error::{Code, Error, Result},
    model::{ConnectionId, Namespace, RoomKey, RoomName, UserId},
    retry::log_rarely,
};

/// How long other nodes may take for what needs nothing but a look.
pub(in crate::hub) const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is tried to find out whether a session is still this node's.
const LET_GO: usize = 5;

/// Questions of other nodes that may wait for their answers, which clients may have to give.
pub(in crate::hub) const AT_ONCE: usize = 4096;

/// Signals among them: what operators ask is never kept waiting by them. They are shared by the users that send them.
pub(in crate::hub) const SIGNALS: usize = AT_ONCE / 4 * 3;

/// A question. Nodes of different versions may live together for a while: what is not understood is not answered.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::hub) enum Ask {
    /// Pass a signal on; what became of it.
    Signal(Arc<Passing>),
    /// Take a user out of a room; how many connections were.
    Kick {
        namespace: Namespace,
        room: RoomName,
        user: UserId,
        reason: String,
    },
    /// End a user's connections; how many.
    Disconnect { user: UserId },
    /// What is known of a user.
    User { user: UserId },
    /// A connection's session goes on on another node. No answer.
    LetGo { connection: ConnectionId },
}

impl Hub {
    /// Asks all other nodes; what those answered that did so in time.
    pub(in crate::hub) async fn ask_others<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        within: Duration,
    ) -> Result<Vec<T>> {
        let Some(nodes) = &self.0.backend.cluster else {
            return Ok(Vec::new());
        };
        let answers = nodes.request_all(written(ask)?, within).await?;
        let read = |answer: String| match serde_json::from_str(&answer) {
            Ok(answer) => Some(answer),
            Err(error) => {
                log_rarely!(warn, %error, "the answer of another node cannot be read");
                None
            }
        };
        Ok(answers.into_iter().filter_map(read).collect())
    }

    /// Answers what another node asks, in time: whatever is delivered does not wait for that.
    pub(in crate::hub) fn answer(&self, question: PeerRequest) {
        let Ok(permit) = self.0.answers.clone().try_acquire_owned() else {
            log_rarely!(warn, "other nodes ask more than can be answered");
            return;
        };
        let hub = self.clone();
        tokio::spawn(async move {
            let _permit = permit;
            match hub.answer_to(&question.text).await {
                // Nobody may be waiting any more.
                Ok(Some(answer)) => drop(question.answer.send(answer)),
                Ok(None) => {}
                Err(error) => {
                    log_rarely!(warn, %error, "another node asks what cannot be answered");
                }
            }
        });
    }

    async fn answer_to(&self, text: &str) -> Result<Option<String>> {
        let ask = serde_json::from_str(text)
            .map_err(|error| Error::bad_request("not a question").caused_by(error))?;
        Ok(Some(match ask {
            Ask::Signal(passing) => written(&self.pass_for_another_node(&passing).await?)?,
            Ask::Kick {
                namespace,
                room,
                user,
                reason,
            } => written(&self.kick_here(&RoomKey { namespace, room }, &user, &reason))?,
            Ask::Disconnect { user } => written(&self.disconnect_here(&user))?,
            Ask::User { user } => written(&self.local_user_summary(&user))?,
            Ask::LetGo { connection } => {
                self.let_go(connection).await;
                return Ok(None);
            }
        }))
    }

    /// What is known of a user, over all namespaces and nodes.
    ///
    /// # Errors
    /// `unavailable` if other nodes cannot be reached: the user may be there.
    pub async fn user(&self, user: &UserId) -> Result<UserSummary> {
        let ask = Ask::User { user: user.clone() };
        let elsewhere = self.ask_others(&ask, PATIENCE).await?;
        let here = self.local_user_summary(user);
        Ok(elsewhere.into_iter().fold(here, merged))
    }

    /// Has other nodes let go of the connection that the session of this one had there, if any.
    pub(in crate::hub) fn have_let_go(&self, connection: &Connection) {
        if connection.pid().is_none() || self.0.backend.cluster.is_none() {
            return;
        }
        let (hub, connection) = (self.clone(), connection.id());
        tokio::spawn(async move {
            let ask = Ask::LetGo { connection };
            if let Err(error) = hub.ask_others::<()>(&ask, Duration::ZERO).await {
                tracing::debug!(%error, "a session goes on here that another node may still have");
            }
        });
    }

    /// Ends a connection whose session goes on on another node. It leaves its rooms in silence: the user is in them there
    /// before the grace time is over here.
    pub(in crate::hub) async fn let_go(&self, connection: ConnectionId) {
        let found = self.0.connections.get(&connection);
        let Some(found) = found.map(|found| found.clone()) else {
            return;
        };
        let mut again = STORE_RETRY;
        for _ in 0..LET_GO {
            // What can be stored is this node's: it came back here since.
            if self.save_session(&found, None).await.is_ok() {
                return;
            }
            if self.0.backend.log.ready().await.is_ok() {
                self.unregister(&found);
                found.close(CloseReason::Replaced);
                return;
            }
            // While storage is away nobody knows whose it is.
            again.wait().await;
        }
    }
}

/// What two nodes know of a user.
fn merged(one: UserSummary, other: UserSummary) -> UserSummary {
    let mut rooms = one.rooms;
    rooms.extend(other.rooms);
    rooms.sort_unstable();
    rooms.dedup();
    UserSummary {
        user: one.user,
        online: one.online || other.online,
        // Other nodes may say anything.
        connections: one.connections.saturating_add(other.connections),
        rooms,
        status: one.status.or(other.status),
        last_seen: one.last_seen.max(other.last_seen),
    }
}

fn written(said: &impl Serialize) -> Result<String> {
    serde_json::to_string(said).map_err(|error| {
        let message = "what is said to other nodes could not be encoded";
        Error::new(Code::Internal, message).caused_by(error)
    })
}
