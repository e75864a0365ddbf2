//! Lists connected users a page at a time, and the connections of one of them, over all nodes. For back ends and operators.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    hub::{
        Hub,
        cluster::{client::REQUEST_TIMEOUT, request::ClusterRequest},
    },
    model::{ConnectionId, Namespace, RoomName, Timestamp, UserId},
};

/// Users on a page, unless the request says otherwise, and at most.
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// Which of the connected users to list.
#[derive(Clone, Debug, Default)]
pub struct UsersRequest {
    /// Only ids that begin with this.
    pub prefix: String,
    /// Only ids after this one.
    pub after: Option<UserId>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// A connected user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedUser {
    /// Its id.
    pub user: UserId,
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many connections it has.
    pub connections: usize,
}

/// A page of the connected users.
#[derive(Clone, Debug, Serialize)]
pub struct UsersPage {
    /// The users, by id.
    pub users: Vec<ListedUser>,
    /// Request the users after this id next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<UserId>,
}

/// A connection of a user, as an operator sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserConnection {
    /// Its id, the client's `socket.id`.
    pub id: ConnectionId,
    /// The node that has it.
    pub node: String,
    /// `socketio`, `websocket` or `events`.
    pub transport: String,
    /// The namespace that it is connected to.
    pub namespace: Namespace,
    /// The rooms that it is in.
    pub rooms: Vec<RoomName>,
    /// When it connected.
    pub connected_at: Timestamp,
    /// Bytes in its client's send queue.
    pub send_queue_bytes: usize,
}

impl Hub {
    /// The users with a connection on any node, by id.
    ///
    /// # Errors
    /// Fails with `unavailable` if other nodes cannot be reached.
    pub async fn users(&self, request: UsersRequest) -> Result<UsersPage> {
        let UsersRequest {
            prefix,
            after,
            limit,
        } = request;
        let limit = limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
        // One more shows whether there is a next page.
        let local = self.local_users(&prefix, after.as_ref(), limit + 1);
        let asked = ClusterRequest::Users {
            prefix,
            after,
            limit: limit + 1,
        };
        let remote = self
            .cluster()
            .request::<Vec<ListedUser>>(&asked, REQUEST_TIMEOUT)
            .await?;
        let mut found = BTreeMap::new();
        for user in remote.into_iter().flatten().chain(local) {
            let known = found.entry(user.user.clone()).or_insert(ListedUser {
                connections: 0,
                ..user.clone()
            });
            // Saturating: a response may hold any number.
            known.connections = known.connections.saturating_add(user.connections);
            known.name = known.name.take().or(user.name);
        }
        let mut users: Vec<_> = found.into_values().collect();
        let has_more = users.len() > limit;
        users.truncate(limit);
        let last = users.last().filter(|_| has_more);
        Ok(UsersPage {
            next: last.map(|last| last.user.clone()),
            users,
        })
    }

    /// The first `limit` users with a connection on this node, by id.
    pub(in crate::hub) fn local_users(
        &self,
        prefix: &str,
        after: Option<&UserId>,
        limit: usize,
    ) -> Vec<ListedUser> {
        let limit = limit.min(MAX_PAGE + 1);
        let users = self.connection_table().first_users(limit, |user| {
            after.is_none_or(|after| user > after) && user.as_str().starts_with(prefix)
        });
        let listed = users.into_iter().filter_map(|user| {
            let connections = self.connection_table().of_user(&user);
            let principal = connections.first()?.principal();
            Some(ListedUser {
                user,
                name: principal.name.as_deref().map(str::to_owned),
                connections: connections.len(),
            })
        });
        listed.collect()
    }

    /// The connections of a user, on all nodes.
    ///
    /// # Errors
    /// Fails with `unavailable` if other nodes cannot be reached.
    pub async fn user_connections(&self, user: &UserId) -> Result<Vec<UserConnection>> {
        let request = ClusterRequest::UserConnections { user: user.clone() };
        let remote = self
            .cluster()
            .request::<Vec<UserConnection>>(&request, REQUEST_TIMEOUT);
        let mut connections = self.local_user_connections(user);
        connections.extend(remote.await?.into_iter().flatten());
        connections.sort_by_key(|connection| (connection.connected_at, connection.id));
        Ok(connections)
    }

    /// The connections of a user on this node.
    pub(in crate::hub) fn local_user_connections(&self, user: &UserId) -> Vec<UserConnection> {
        let connections = self.connection_table().of_user(user).into_iter();
        let shown = connections.map(|connection| {
            let client = connection.sink().client();
            UserConnection {
                id: connection.id(),
                node: self.node_info().id.clone(),
                transport: client.transport.to_owned(),
                namespace: connection.namespace().clone(),
                rooms: connection.rooms(),
                connected_at: connection.connected_at(),
                send_queue_bytes: client.queued_bytes,
            }
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests;
