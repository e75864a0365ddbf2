//! The log as the conformance suite tests it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    backend::{
        Bus, Clock, Deliveries, DocumentStore, Draft, EndpointRecord, Log, Missed, Outbox,
        OutboxPage, Page, PageSize, Range, ReadMarker, ReadMarkers, Receipt, SessionStore,
        StoredSession,
        conformance::LogUnderTest,
        redis::{
            client::reply,
            config::RedisConfig,
            keys::Partition,
            log::{RedisLog, open_with},
            trimmer::RedisTrimmer,
        },
    },
    error::Result,
    model::{Incarnation, Namespace, Offset, Pid, RoomKey, Seq, Timestamp, UserId},
};

/// A log that follows each room before it appends to it, as the hub does.
struct FollowedLog(Arc<RedisLog>);

/// Opens a log for the conformance suite, and its bus.
pub(in crate::backend) async fn following(
    config: RedisConfig,
    clock: Clock,
) -> (Arc<dyn LogUnderTest>, Arc<dyn Bus>, Deliveries) {
    let (log, _, deliveries) = open_with(config, Some(clock)).await.unwrap();
    let log = Arc::new(log);
    (Arc::new(FollowedLog(log.clone())), log, deliveries)
}

#[async_trait]
impl LogUnderTest for FollowedLog {
    async fn trim_all(&self, now: Timestamp) {
        let connections = &self.0.connections;
        let trimmer = RedisTrimmer {
            context: self.0.context.clone(),
            connections: connections.clone(),
            session_window: self.0.session_window,
        };
        for partition in Partition::all() {
            let rooms = self.0.context.keys.rooms(partition);
            let mut now_due = redis::cmd("ZUNIONSTORE");
            now_due.arg(&rooms).arg(1).arg(&rooms);
            now_due.arg("WEIGHTS").arg(0);
            connections.of(partition).query(now_due).await.unwrap();
        }
        while trimmer.step(now.into()).await {}
    }

    async fn stored(&self) -> usize {
        let mut keys = 0;
        for partition in Partition::all() {
            let mut all = redis::cmd("KEYS");
            all.arg("*");
            let all: Vec<String> =
                reply::parse(self.0.connections.of(partition).query(all).await.unwrap()).unwrap();
            // Probes write keys that expire, whenever nothing is written for a while.
            keys += all.iter().filter(|key| !key.contains("probe:")).count();
            if !self.0.context.topology.is_cluster() {
                break;
            }
        }
        keys
    }

    fn documents(&self) -> &dyn DocumentStore {
        &*self.0
    }
}

#[async_trait]
impl Log for FollowedLog {
    async fn append(&self, draft: Draft) -> Result<Receipt> {
        self.0.subscribe(&draft.room).await?;
        self.0.append(draft).await
    }

    async fn read(&self, room: &RoomKey, range: Range, size: PageSize) -> Result<Page> {
        self.0.read(room, range, size).await
    }

    async fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
    ) -> Result<Missed> {
        self.0.missed(room, after, until, size).await
    }

    async fn last_offset(&self, namespace: &Namespace) -> Result<Offset> {
        self.0.last_offset(namespace).await
    }

    fn incarnation(&self) -> Incarnation {
        self.0.incarnation()
    }

    async fn ready(&self) -> Result<()> {
        self.0.ready().await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

#[async_trait]
impl ReadMarkers for FollowedLog {
    async fn advance(&self, room: &RoomKey, user: &UserId, seq: Seq) -> Result<ReadMarker> {
        self.0.advance(room, user, seq).await
    }

    async fn get(&self, room: &RoomKey, user: &UserId) -> Result<ReadMarker> {
        self.0.get(room, user).await
    }
}

#[async_trait]
impl SessionStore for FollowedLog {
    async fn save(&self, session: StoredSession) -> Result<()> {
        self.0.save(session).await
    }

    async fn end(&self, pid: Pid) -> Result<()> {
        self.0.end(pid).await
    }

    async fn forget(&self, pid: Pid) -> Result<()> {
        self.0.forget(pid).await
    }

    async fn forget_user(&self, user: UserId) -> Result<()> {
        self.0.forget_user(user).await
    }

    async fn remove_from_room(&self, user: UserId, room: RoomKey, reason: String) -> Result<()> {
        self.0.remove_from_room(user, room, reason).await
    }

    async fn find(&self, pid: Pid) -> Result<Option<StoredSession>> {
        self.0.find(pid).await
    }
}

#[async_trait]
impl Outbox for FollowedLog {
    fn streams(&self) -> usize {
        self.0.streams()
    }

    fn set_member(&self, room: &RoomKey, user: &UserId, is_member: bool) {
        self.0.set_member(room, user, is_member);
    }

    async fn remove_stale_members(&self) -> Result<()> {
        self.0.remove_stale_members().await
    }

    async fn read_events(
        &self,
        stream: usize,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<OutboxPage> {
        self.0.read_events(stream, after, limit, bytes).await
    }

    async fn events_added(&self) {
        self.0.events_added().await;
    }

    async fn claim_endpoint(&self, endpoint: &str) -> Result<EndpointRecord> {
        self.0.claim_endpoint(endpoint).await
    }

    async fn find_endpoint(&self, endpoint: &str) -> Result<EndpointRecord> {
        self.0.find_endpoint(endpoint).await
    }

    async fn save_endpoint(&self, endpoint: &str, state: String) -> Result<bool> {
        self.0.save_endpoint(endpoint, state).await
    }

    async fn release_endpoint(&self, endpoint: &str) {
        self.0.release_endpoint(endpoint).await;
    }
}
