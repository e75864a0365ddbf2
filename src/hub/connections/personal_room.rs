//! Where a new session begins: in the user's personal room, at the end of the log.

use std::sync::Arc;

use super::{Connection, STORE_RETRY};
use crate::{
    error::Result,
    hub::Hub,
    model::{Offset, RoomKey, RoomName},
};

impl Hub {
    /// Makes a new session receive the messages of its personal room from exactly now on. While the end of the log cannot be read,
    /// the session receives live messages, and is stored once its start offset is known.
    pub(in crate::hub) async fn start_personal_room(&self, connection: &Arc<Connection>) {
        let personal = RoomName::personal(&connection.principal().user);
        let start_offset = match self.log_end(&connection.room_key(&personal)).await {
            Ok(start_offset) => {
                self.set_personal_start(connection, &personal, start_offset);
                start_offset
            }
            Err(error) => {
                tracing::debug!(%error, "a session begins without the start offset of its personal room");
                let (hub, connection) = (self.clone(), connection.clone());
                tokio::spawn(hub.retry_personal_start(connection, personal.clone()));
                Offset(0)
            }
        };
        self.start_delivery(connection, &personal, start_offset);
    }

    /// Retries until the start offset of the personal room is known, and stores the session.
    async fn retry_personal_start(self, connection: Arc<Connection>, personal: RoomName) {
        let key = connection.room_key(&personal);
        let mut retry = STORE_RETRY;
        while !connection.subscriber().is_closed() {
            retry.wait().await;
            if let Ok(start_offset) = self.log_end(&key).await {
                self.set_personal_start(&connection, &personal, start_offset);
                if let Err(error) = self.claim_session(&connection).await {
                    tracing::debug!(%error, "failed to store a session");
                }
                return;
            }
        }
    }

    fn set_personal_start(
        &self,
        connection: &Connection,
        personal: &RoomName,
        start_offset: Offset,
    ) {
        connection.set_incarnation(self.backend().log.incarnation());
        connection.complete_join(personal, start_offset);
    }

    /// The end of the log, once this node is subscribed to the room: everything behind it will be delivered.
    async fn log_end(&self, room: &RoomKey) -> Result<Offset> {
        self.rooms().subscribed(room).await?;
        self.backend().log.last_offset(&room.namespace).await
    }
}
