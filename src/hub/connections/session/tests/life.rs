//! What becomes of connections when the log that they are given has lost something, and begins another life.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::{
    backend::{Backend, Deliveries, Draft, Log, Missed, Page, PageSize, Range, Receipt, memory},
    error::Result,
    hub::testing::{hub_with_backend, join, member, publish},
    hub::{CloseReason, Hub, LimitSettings},
    model::{Incarnation, Namespace, Offset, RoomKey},
    sync::lock,
};

/// A log that may lose something.
struct Fragile {
    backend: Backend,
    life: Mutex<Incarnation>,
}

impl Fragile {
    fn hub() -> (Hub, Arc<Self>) {
        let (backend, deliveries): (_, Deliveries) = memory::open(memory::MemoryConfig::default());
        let fragile = Arc::new(Self {
            life: Mutex::new(backend.log.incarnation()),
            backend: backend.clone(),
        });
        let backend = Backend {
            log: fragile.clone(),
            ..backend
        };
        let hub = hub_with_backend(backend, deliveries, LimitSettings::default());
        (hub, fragile)
    }
}

#[async_trait]
impl Log for Fragile {
    async fn append(&self, draft: Draft) -> Result<Receipt> {
        self.backend.log.append(draft).await
    }

    async fn read(&self, room: &RoomKey, range: Range, size: PageSize) -> Result<Page> {
        self.backend.log.read(room, range, size).await
    }

    async fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
    ) -> Result<Missed> {
        self.backend.log.missed(room, after, until, size).await
    }

    async fn last_offset(&self, namespace: &Namespace) -> Result<Offset> {
        self.backend.log.last_offset(namespace).await
    }

    fn incarnation(&self) -> Incarnation {
        lock(&self.life).clone()
    }

    async fn ready(&self) -> Result<()> {
        self.backend.log.ready().await
    }

    async fn close(&self) {
        self.backend.log.close().await;
    }
}

#[tokio::test]
async fn a_connection_that_is_behind_when_the_log_begins_another_life_is_closed() {
    let (hub, log) = Fragile::hub();
    let (_slow, client) = member(&hub, "alice", &["a"]).await;
    let (_live, quick) = member(&hub, "bob", &["a"]).await;
    *lock(&log.life) = Incarnation::generate();
    client.slow.store(true, Ordering::Relaxed);
    publish(&hub, "a", 1).await;
    client.is_closed(CloseReason::Unavailable).await;
    quick.receives(&["session", "a 1"]).await;
}

#[tokio::test]
async fn a_session_is_not_stored_with_offsets_of_a_life_that_is_over() {
    let (hub, log) = Fragile::hub();
    let (alice, _client) = member(&hub, "alice", &["a"]).await;
    *lock(&log.life) = Incarnation::generate();
    join(&hub, &alice, "b").await;
    let sessions = &log.backend.sessions;
    let stored = sessions.find(alice.pid().unwrap()).await.unwrap().unwrap();
    assert!(stored.rooms.iter().all(|(room, _)| room.as_str() != "b"));
}
