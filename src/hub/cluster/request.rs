//! The requests that the hubs of nodes send each other: about connections, which only their own node knows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::client::encode;
use crate::{
    backend::PeerRequest,
    error::{Error, Result},
    hub::{
        Hub,
        answers::table::AnswerKey,
        client_report::report::ClientReportRequest,
        commands::signal::request::SignalRequest,
        sockets::set::{SocketChange, SocketSet},
    },
    model::{ConnectionId, Namespace, RoomKey, RoomName, UserId},
    retry::log_rarely,
};

/// A request. Nodes of different versions may run together for a while: a request that a node cannot decode gets no response.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::hub) enum ClusterRequest {
    /// Deliver a signal. The response is a `SignalOutcome`.
    Signal(Arc<SignalRequest>),
    /// Remove a user from a room. The response is the number of its connections that were in there.
    Kick {
        namespace: Namespace,
        room: RoomName,
        user: UserId,
        reason: String,
        /// Without telling its clients.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        silently: bool,
    },
    /// Make a user's connections members of a room. The response is the number of those that are in there now.
    Admit {
        namespace: Namespace,
        room: RoomName,
        user: UserId,
    },
    /// Which connections are in a room. The response is a list of `RoomConnection`.
    Connections {
        namespace: Namespace,
        room: RoomName,
    },
    /// Close a user's connections. The response is their number.
    Disconnect { user: UserId },
    /// Look a user up. The response is a `UserSummary`.
    User { user: UserId },
    /// List connected users by id. The response is a list of `ListedUser`.
    Users {
        prefix: String,
        after: Option<UserId>,
        limit: usize,
    },
    /// List a user's connections. The response is a list of `UserConnection`.
    UserConnections { user: UserId },
    /// How many events rooms have. The response is a list of events per second, or null where a room is not in use.
    EventRates {
        namespace: Namespace,
        rooms: Vec<RoomName>,
    },
    /// What the node says of itself. The response is a `NodeStats`.
    NodeStats,
    /// What clients the node has. The response is a `ClientReport`.
    Clients(ClientReportRequest),
    /// Change sockets of the node. The response is null, once it is done.
    ChangeSockets(SocketSet, SocketChange),
    /// How an event has been answered that a client may send again. The response is a `KnownAnswer`.
    Answer { key: AnswerKey },
    /// A connection's session has been resumed on another node. There is no response.
    #[serde(rename = "LetGo")]
    ReleaseSession { connection: ConnectionId },
}

impl Hub {
    /// Serves a request of another node on a task of its own: deliveries do not wait for it.
    pub(in crate::hub) fn serve_request(&self, request: PeerRequest) {
        let Some(permit) = self.cluster().request_permit() else {
            log_rarely!(warn, "peer request limit reached; request dropped");
            return;
        };
        let hub = self.clone();
        tokio::spawn(async move {
            let _permit = permit;
            match hub.respond(&request.text).await {
                // The other node may have stopped waiting.
                Ok(Some(response)) => drop(request.reply.send(response)),
                Ok(None) => {}
                Err(error) => log_rarely!(warn, %error, "request of another node failed"),
            }
        });
    }

    async fn respond(&self, text: &str) -> Result<Option<String>> {
        let request = serde_json::from_str(text)
            .map_err(|error| Error::bad_request("unknown request").caused_by(error))?;
        Ok(Some(match request {
            ClusterRequest::Signal(signal) => encode(&self.deliver_remote_signal(&signal).await?)?,
            ClusterRequest::Kick {
                namespace,
                room,
                user,
                reason,
                silently,
            } => {
                let told = (!silently).then_some(reason.as_str());
                encode(&self.remove_locally(&RoomKey { namespace, room }, &user, told))?
            }
            ClusterRequest::Admit {
                namespace,
                room,
                user,
            } => encode(
                &self
                    .admit_locally(&RoomKey { namespace, room }, &user)
                    .await,
            )?,
            ClusterRequest::Connections { namespace, room } => {
                encode(&self.local_connections_in(&RoomKey { namespace, room }))?
            }
            ClusterRequest::Disconnect { user } => encode(&self.disconnect_locally(&user))?,
            ClusterRequest::User { user } => encode(&self.local_user_summary(&user))?,
            ClusterRequest::Users {
                prefix,
                after,
                limit,
            } => encode(&self.local_users(&prefix, after.as_ref(), limit))?,
            ClusterRequest::UserConnections { user } => {
                encode(&self.local_user_connections(&user))?
            }
            ClusterRequest::EventRates { namespace, rooms } => {
                encode(&self.local_event_rates(&namespace, &rooms))?
            }
            ClusterRequest::NodeStats => encode(&self.node_stats().await)?,
            ClusterRequest::Clients(request) => encode(&self.local_clients(&request).await)?,
            ClusterRequest::ChangeSockets(sockets, change) => {
                self.change_local_sockets(&sockets, &change).await;
                encode(&())?
            }
            ClusterRequest::Answer { key } => encode(&self.known_answer(key).await)?,
            ClusterRequest::ReleaseSession { connection } => {
                self.release_session(connection).await;
                return Ok(None);
            }
        }))
    }
}

#[cfg(test)]
mod tests;
