//! Publishes what was committed: it can be read from memory, messages go onto the stream of deliveries, then the commands are
//! replied to.
//!
//! A task of the runtime does this, not the writer's thread: those who wait for a reply are woken from within the runtime,
//! without a system call for each of them, and the writer commits the next batch meanwhile.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    commits::Commits, offsets::Offsets, room_table::AppendOutcome, trim::Trimmed,
    unwritten::UnwrittenRooms,
};
use crate::{
    backend::{
        Appended, Bus, BusEvent, Delivery, LocalBus, ReadMarker, Subscribing, hot_cache::HotCache,
    },
    error::Result,
    model::RoomKey,
};

/// How many commits may wait to be published before the writer waits, too.
const MAX_WAITING: usize = 3;

/// A committed command, with what its caller is told. The caller may have gone away; what it requested is done all the same.
pub(super) enum Settled {
    Append(oneshot::Sender<Result<Appended>>, AppendOutcome),
    Marker(oneshot::Sender<Result<ReadMarker>>, ReadMarker),
    Done(oneshot::Sender<Result<()>>),
    /// The result of changing a document.
    Document(oneshot::Sender<Result<u64>>, Result<u64>),
    /// Whether there is more to do.
    Step(oneshot::Sender<Result<bool>>, bool),
}

impl Settled {
    fn outcome(&self) -> Option<&AppendOutcome> {
        match self {
            Self::Append(_, outcome) => Some(outcome),
            _ => None,
        }
    }
}

/// What one commit has done.
#[derive(Default)]
pub(super) struct Publication {
    /// The number of the commit.
    pub(super) commit: u64,
    pub(super) trimmed: Vec<Trimmed>,
    pub(super) outbox_added: bool,
    /// In the order of the commands.
    pub(super) settled: Vec<Settled>,
}

/// What is known of the log without reading it.
pub(super) struct InMemory {
    pub(super) cache: Arc<HotCache>,
    pub(super) unwritten: Arc<UnwrittenRooms>,
    pub(super) offsets: Arc<Offsets>,
    /// Signalled when something was added to the outbox.
    pub(super) outbox_added: Arc<Notify>,
}

impl InMemory {
    fn follow(&self, publication: &mut Publication) {
        for trimmed in publication.trimmed.drain(..) {
            match trimmed {
                Trimmed::Messages(room, oldest, offset) => self.cache.trim(&room, oldest, offset),
                Trimmed::Room(room) => {
                    self.cache.remove_room(&room);
                    self.unwritten.clear();
                }
            }
        }
        let appends = publication.settled.iter().filter_map(Settled::outcome);
        let stored = appends.clone().filter_map(|it| it.stored.as_deref());
        self.cache
            .extend(appends.filter_map(AppendOutcome::for_cache));
        self.unwritten.remove_created(stored.clone());
        self.offsets.advance(stored);
        if publication.outbox_added {
            self.outbox_added.notify_one();
        }
    }
}

/// Where what was committed goes next.
pub(super) type PublicationSender = mpsc::UnboundedSender<Publication>;

/// Bounds what is committed and not published: a place for each commit, taken before it. So what is committed goes its way without
/// waiting, and those who have read it do not wait for the hub.
pub(super) struct Places(mpsc::Sender<()>);

impl Places {
    /// Blocks while the hub is behind, and so do all appends.
    pub(super) fn take(&self) {
        // If the runtime has ended, nobody gives places back, and nobody waits for a reply.
        let _ = self.0.blocking_send(());
    }
}

/// The task.
pub(super) struct Publisher {
    queue: mpsc::UnboundedReceiver<Publication>,
    /// The places that are taken.
    places: mpsc::Receiver<()>,
    in_memory: InMemory,
    stream: mpsc::Sender<Delivery>,
    commits: Arc<Commits>,
}

impl Publisher {
    /// Returns it with the queue of what it is to publish, the places in that, and a bus to the same stream.
    pub(super) fn new(
        in_memory: InMemory,
        stream: mpsc::Sender<Delivery>,
        commits: Arc<Commits>,
    ) -> (PublicationSender, Places, Self, SqliteBus) {
        let (committed, queue) = mpsc::unbounded_channel();
        let (place, places) = mpsc::channel(MAX_WAITING);
        let bus = SqliteBus {
            commits: commits.clone(),
            stream: LocalBus::new(stream.clone()),
        };
        let publisher = Self {
            queue,
            places,
            in_memory,
            stream,
            commits,
        };
        (committed, Places(place), publisher, bus)
    }

    /// Runs until the writer has ended. Waits while the hub is behind.
    pub(super) async fn run(mut self) {
        while let Some(mut publication) = self.queue.recv().await {
            self.in_memory.follow(&mut publication);
            for settled in publication.settled {
                self.settle(settled).await;
            }
            self.commits.record_published(publication.commit);
            let _ = self.places.try_recv();
        }
    }

    async fn settle(&self, settled: Settled) {
        match settled {
            Settled::Append(reply, outcome) => {
                if let Some(message) = outcome.stored {
                    let _ = self.stream.send(Delivery::Message(message)).await;
                }
                let _ = reply.send(Ok(outcome.appended));
            }
            Settled::Marker(reply, marker) => drop(reply.send(Ok(marker))),
            Settled::Done(reply) => drop(reply.send(Ok(()))),
            Settled::Document(reply, changed) => drop(reply.send(changed)),
            Settled::Step(reply, more) => drop(reply.send(Ok(more))),
        }
    }
}

/// The embedded log's bus.
pub(super) struct SqliteBus {
    commits: Arc<Commits>,
    stream: LocalBus,
}

#[async_trait]
impl Bus for SqliteBus {
    async fn send(&self, event: BusEvent) -> Result<()> {
        self.stream.send(event).await
    }

    async fn flush(&self) {
        // What is committed can be read before it is on the stream.
        self.commits.published().await;
        self.stream.flush().await;
    }

    fn subscribe(&self, room: &RoomKey) -> Subscribing {
        self.stream.subscribe(room)
    }

    fn unsubscribe(&self, room: &RoomKey) {
        self.stream.unsubscribe(room);
    }
}

#[cfg(test)]
mod tests;
