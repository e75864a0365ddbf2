//! What back ends are told: which messages, and how far each has come.

use std::time::Duration;

use super::list_users::UserConnection;
use crate::{
    backend::{MessageEntries, OutboxKind},
    error::Result,
    hooks::NotifyEndpointStatus,
    hub::{Hub, cluster::request::ClusterRequest},
    model::{EventName, RoomKey, UserId},
};

/// How long other nodes may take to say whether they have a user.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(200);

impl Hub {
    /// What back ends are to be told of a message.
    pub(super) async fn outbox_entries(&self, room: &RoomKey, event: &EventName) -> MessageEntries {
        let hooks = self.hooks();
        let asked =
            event.is_notification() && hooks.tells(OutboxKind::NotificationUnseen, &room.room);
        MessageEntries {
            message: hooks.tells(OutboxKind::Message, &room.room),
            unseen: asked && !self.is_user_here(room).await,
        }
    }

    /// Whether the user of a personal room has a connection to its namespace, on any node. A node that does not say so soon has
    /// none: a back end that is told once too often is better than one that is not, and the notification waits for this.
    async fn is_user_here(&self, personal: &RoomKey) -> bool {
        if self.rooms().is_occupied(personal) {
            return true;
        }
        let Some(Ok(user)) = personal.room.personal_user().map(UserId::parse) else {
            return false;
        };
        let request = ClusterRequest::UserConnections { user };
        let found = self.cluster().request(&request, LOOKUP_TIMEOUT).await;
        let found: Vec<Vec<UserConnection>> = found.unwrap_or_default();
        let mut found = found.iter().flatten();
        found.any(|connection| connection.namespace == personal.namespace)
    }

    /// How each endpoint of `hooks.notify` is.
    ///
    /// # Errors
    /// Fails with `unavailable` if the store is away.
    pub(crate) async fn notify_status(&self) -> Result<Vec<NotifyEndpointStatus>> {
        self.hooks()
            .notify_status(self.backend().outbox.as_ref())
            .await
    }

    /// Has an endpoint of `hooks.notify` told again that was stopped, and one that fails tried at once; `url` as its status
    /// shows it.
    ///
    /// # Errors
    /// Fails with `not_found` if there is no such endpoint, and `unavailable` if the store is away.
    pub(crate) async fn resume_notifications(&self, url: &str) -> Result<()> {
        let outbox = self.backend().outbox.as_ref();
        self.hooks().resume_notifications(outbox, url).await
    }
}
