//! The way up: the backend's one stream of deliveries, handed to the members of each room in its order.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Hub,
    event::{Event, Outgoing},
    lock,
};
use crate::{
    backend::{Deliveries, Delivery},
    model::Ephemeral,
};

/// A door that sends what comes together in one go.
pub trait Gather: Send + Sync + 'static {
    /// Events for many connections are about to be pushed: wait with sending them.
    fn begin(&self);

    /// That is all for now; `alone` if it was one event.
    fn end(&self, alone: bool);
}

/// How long sending waits for more: enough for what is there already, too short to be noticed.
const TOGETHER: Duration = Duration::from_millis(2);

/// Events for so many connections take far longer to send than it takes to look whether more has just come.
const MANY: u64 = 256;

/// How often others have their turn for that: the runtime looks for input every 61 turns.
const PATIENCE: usize = 64;

impl Hub {
    /// Has `door` told when deliveries come together; call it before [`deliver_all`](Self::deliver_all).
    pub fn gather_by(&self, door: Arc<dyn Gather>) {
        lock(&self.0.doors).push(door);
    }

    /// Delivers until the backend has closed its stream.
    ///
    /// One task a node runs this, so every member sees the backend's order. It only pushes to outlets, which never
    /// block; it gives way to others between deliveries so that a long backlog does not hold a worker thread.
    pub async fn deliver_all(self, mut deliveries: Deliveries) {
        let doors = lock(&self.0.doors).clone();
        while let Some(first) = deliveries.recv().await {
            doors.iter().for_each(|door| door.begin());
            let (began, before) = (Instant::now(), self.0.metrics.deliveries.get());
            self.deliver(first);
            let (mut patience, mut alone) = (PATIENCE, true);
            while began.elapsed() < TOGETHER {
                if let Ok(next) = deliveries.try_recv() {
                    alone = false;
                    self.deliver(next);
                } else if patience > 0 && self.0.metrics.deliveries.get() - before >= MANY {
                    patience -= 1;
                    tokio::task::yield_now().await;
                } else {
                    break;
                }
            }
            doors.iter().for_each(|door| door.end(alone));
            tokio::task::consume_budget().await;
        }
    }

    fn deliver(&self, delivery: Delivery) {
        let (room, event, except) = match delivery {
            Delivery::Message(message) => {
                let (room, except) = (message.room.clone(), message.except);
                (room, Outgoing::new(Event::Message(message)), except)
            }
            Delivery::Barrier(reached) => {
                // Whoever waited may have gone.
                let _ = reached.send(());
                return;
            }
            Delivery::Remote(room, said) => return self.hear(&room, said),
            Delivery::Request(question) => return self.answer(question),
            Delivery::Ephemeral(event, except) => {
                (event.room.clone(), self.not_kept(event), except)
            }
        };
        self.0.rooms.deliver(&room, &event, except);
    }

    fn not_kept(&self, event: Arc<Ephemeral>) -> Arc<Outgoing> {
        if !self.0.limits.newest.contains(&event.event) {
            return Outgoing::new(Event::Ephemeral(event));
        }
        let (kept, from) = (event.clone(), event.from.as_ref().map(|from| &from.user));
        Outgoing::newest(
            Event::Ephemeral(kept),
            &event.room.room,
            event.event.as_str(),
            from,
        )
    }
}
