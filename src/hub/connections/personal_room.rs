//! From where on a new session is given what is sent to its user: it begins in its personal room, at the log's end.

use std::sync::Arc;

use crate::hub::{Connection, Hub, session::TRY_AGAIN};
use crate::{
    error::Result,
    model::{Offset, RoomKey, RoomName},
};

impl Hub {
    /// Settles from where on a new session is given what is sent to its user: from now on, exactly. Where that cannot be known
    /// now, it is given what comes, and its session is stored once it is known.
    pub(in crate::hub) async fn begin_personal(&self, connection: &Arc<Connection>) {
        let personal = RoomName::personal(&connection.principal().user);
        let start = self.present_end(&connection.key(&personal)).await;
        let known = start.is_ok();
        let start = start.unwrap_or_else(|error| {
            tracing::debug!(%error, "a session begins without knowing where");
            Offset(0)
        });
        if known {
            connection.begin_in(self.0.backend.log.incarnation());
            connection.joined(&personal, start);
        } else {
            tokio::spawn(
                self.clone()
                    .learn_start(connection.clone(), personal.clone()),
            );
        }
        self.let_through(connection, &personal, start);
    }

    /// Tries until it is known where a session began, and stores it.
    async fn learn_start(self, connection: Arc<Connection>, personal: RoomName) {
        let key = connection.key(&personal);
        let mut again = TRY_AGAIN;
        while !connection.feed().is_over() {
            again.wait().await;
            if let Ok(start) = self.present_end(&key).await {
                connection.begin_in(self.0.backend.log.incarnation());
                connection.joined(&personal, start);
                if let Err(error) = self.store(&connection, None, true).await {
                    tracing::debug!(%error, "a session could not be stored after all");
                }
                return;
            }
        }
    }

    /// The log's end, once whatever comes behind it in a room will be delivered.
    async fn present_end(&self, room: &RoomKey) -> Result<Offset> {
        self.0.rooms.subscribed(room).await?;
        self.0.backend.log.last_offset(&room.namespace).await
    }
}
