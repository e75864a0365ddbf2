//! Looking a user up on all nodes.

use super::{client::REQUEST_TIMEOUT, request::ClusterRequest};
use crate::{
    error::Result,
    hub::{Hub, UserSummary},
    model::UserId,
};

impl Hub {
    /// What is known of a user, over all namespaces and nodes.
    ///
    /// # Errors
    /// Fails with `unavailable` if other nodes cannot be reached: the user may be connected there.
    pub async fn user(&self, user: &UserId) -> Result<UserSummary> {
        let request = ClusterRequest::User { user: user.clone() };
        let remote = self.cluster().request(&request, REQUEST_TIMEOUT).await?;
        let local = self.local_user_summary(user);
        Ok(remote.into_iter().fold(local, merge))
    }
}

/// What two nodes know of a user.
fn merge(one: UserSummary, other: UserSummary) -> UserSummary {
    let mut rooms = one.rooms;
    rooms.extend(other.rooms);
    rooms.sort_unstable();
    rooms.dedup();
    UserSummary {
        user: one.user,
        online: one.online || other.online,
        // Saturating: a response may hold any number.
        connections: one.connections.saturating_add(other.connections),
        rooms,
        status: one.status.or(other.status),
        last_seen: one.last_seen.max(other.last_seen),
    }
}
