//! The way up: the backend's one stream of deliveries, handed to the members of each room in its order.

use super::{
    Hub,
    event::{Event, Outgoing},
};
use crate::backend::{Deliveries, Delivery};

impl Hub {
    /// Delivers until the backend has closed its stream.
    ///
    /// One task a node runs this, so every member sees the backend's order. It only pushes to outlets, which never
    /// block; it gives way to others between deliveries so that a long backlog does not hold a worker thread.
    pub async fn deliver_all(self, mut deliveries: Deliveries) {
        while let Some(delivery) = deliveries.recv().await {
            let (room, event, except) = match delivery {
                Delivery::Message(message) => {
                    self.0.metrics.messages.inc();
                    let except = message.except;
                    (message.room.clone(), Event::Message(message), except)
                }
                Delivery::Mark(reached) => {
                    // Whoever waited may have gone.
                    let _ = reached.send(());
                    continue;
                }
                Delivery::Ephemeral(event, except) => {
                    self.0.metrics.ephemeral.inc();
                    (event.room.clone(), Event::Ephemeral(event), except)
                }
            };
            self.0.rooms.deliver(&room, &Outgoing::new(event), except);
            tokio::task::consume_budget().await;
        }
    }
}
