//! Delivery: the backend's one stream of events is dispatched to the members of each room, in its order.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    Hub,
    event::{Event, OutgoingEvent},
};
use crate::{
    backend::{BusEvent, Deliveries, Delivery},
    model::Ephemeral,
    sync::lock,
};

/// A transport that writes events that come together in one go.
pub trait BatchWriter: Send + Sync + 'static {
    /// Events for many connections are about to be queued: writing waits for [`end_batch`](Self::end_batch).
    fn begin_batch(&self);

    /// All events of the batch are queued; `single` if it was one event.
    fn end_batch(&self, single: bool);
}

/// The transports that write in batches.
#[derive(Default)]
pub(super) struct BatchWriters(Mutex<Vec<Arc<dyn BatchWriter>>>);

impl BatchWriters {
    fn all(&self) -> Vec<Arc<dyn BatchWriter>> {
        lock(&self.0).clone()
    }

    fn add(&self, writer: Arc<dyn BatchWriter>) {
        lock(&self.0).push(writer);
    }
}

/// How long a batch waits for more events: enough for those that are there already, too short to be noticed.
const BATCH_WINDOW: Duration = Duration::from_millis(2);

/// A batch with so many deliveries takes far longer to write than it takes to look whether more has just come.
const LARGE_BATCH: u64 = 256;

/// How often the task yields to look for more: the runtime polls for I/O every 61 turns.
const MAX_YIELDS: usize = 64;

impl Hub {
    /// Tells `writer` when events come together. Call it before [`deliver_all`](Self::deliver_all).
    pub(crate) fn register_batch_writer(&self, writer: Arc<dyn BatchWriter>) {
        self.batch_writers().add(writer);
    }

    /// Delivers until the backend has closed its stream.
    ///
    /// One task a node runs this, so that every member sees the backend's order. It only pushes to event sinks, which never
    /// block, and yields between deliveries, so that a long backlog does not occupy a worker thread.
    pub(crate) async fn deliver_all(self, mut deliveries: Deliveries) {
        let writers = self.batch_writers().all();
        while let Some(first) = deliveries.recv().await {
            writers.iter().for_each(|writer| writer.begin_batch());
            let (began, before) = (Instant::now(), self.metrics().deliveries.get());
            self.deliver(first);
            let (mut yields, mut single) = (MAX_YIELDS, true);
            while began.elapsed() < BATCH_WINDOW {
                if let Ok(next) = deliveries.try_recv() {
                    single = false;
                    self.deliver(next);
                } else if yields > 0 && self.metrics().deliveries.get() - before >= LARGE_BATCH {
                    yields -= 1;
                    tokio::task::yield_now().await;
                } else {
                    break;
                }
            }
            writers.iter().for_each(|writer| writer.end_batch(single));
            tokio::task::consume_budget().await;
        }
    }

    fn deliver(&self, delivery: Delivery) {
        let (room, event, except) = match delivery {
            Delivery::Message(message) => {
                let (room, except) = (message.room.clone(), message.except);
                (room, OutgoingEvent::new(Event::Message(message)), except)
            }
            Delivery::Barrier(reached) => {
                // The waiting task may have been dropped.
                let _ = reached.send(());
                return;
            }
            Delivery::Remote(room, event) => return self.apply_remote(&room, event),
            Delivery::Request(request) => return self.serve_request(request),
            Delivery::NodeGone(node) => return self.documents().remove_node(node),
            Delivery::Event(BusEvent::Document(name, notice, node)) => {
                if let Some(node) = node {
                    self.documents().apply_notice(&name, &notice, node);
                }
                return;
            }
            Delivery::Event(BusEvent::Broadcast(broadcast)) => {
                return self.deliver_broadcast(&broadcast);
            }
            Delivery::Event(BusEvent::Ephemeral(event, except)) => {
                (event.room.clone(), self.wrap_ephemeral(event), except)
            }
        };
        self.rooms().deliver(&room, &event, except);
    }

    /// Wraps an ephemeral event with its delivery policy.
    fn wrap_ephemeral(&self, event: Arc<Ephemeral>) -> Arc<OutgoingEvent> {
        if !self.limits().newest.contains(&event.event) {
            return OutgoingEvent::new(Event::Ephemeral(event));
        }
        let from = event.from.as_ref().map(|from| &from.user);
        OutgoingEvent::newest(
            Event::Ephemeral(event.clone()),
            &event.room.room,
            event.event.as_str(),
            from,
        )
    }
}
