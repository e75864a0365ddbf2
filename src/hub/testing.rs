//! A hub over the log in memory, with clients that record what they receive: for the tests of this folder.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use crate::{
    auth::{Authority, AuthorityConfig},
    backend::{Backend, Deliveries, memory},
    documents::DocumentSettings,
    hooks::ClientFacts,
    hub::{
        CloseReason, Connection, Drained, Event, EventSink, Hub, HubSettings, Join, LimitSettings,
        NodeInfo, OutgoingEvent, PageLimits, PendingReply, PreparedConnection, PresenceSettings,
        Publish, RecoverySettings, Replay, ResumeRequest, TypingSettings,
    },
    model::{Namespace, Offset, RoomKey, RoomName, UserId},
    policies::CurrentPolicies,
    sync::lock,
};

pub(in crate::hub) mod fake_cluster;

/// A client that records what it receives.
#[derive(Default)]
pub(in crate::hub) struct RecordingClient {
    /// Rooms and data of messages, and the names of other events.
    pub(in crate::hub) received: Mutex<Vec<String>>,
    pub(in crate::hub) offset: Mutex<Option<Offset>>,
    pub(in crate::hub) closed: Mutex<Option<CloseReason>>,
    pub(in crate::hub) slow: AtomicBool,
    pub(in crate::hub) reads: Arc<Notify>,
    /// Its reply to every request, in JSON; `None`: it cannot reply.
    pub(in crate::hub) replies_with: Mutex<Option<&'static [&'static str]>>,
}

impl EventSink for RecordingClient {
    fn push(&self, event: &OutgoingEvent) {
        let text = match event.event() {
            Event::Message(message) => {
                *lock(&self.offset) = Some(message.offset);
                format!("{} {}", message.room.room, message.data.get())
            }
            _ => event.arguments().name.to_string(),
        };
        lock(&self.received).push(text);
    }

    fn push_with_reply(&self, event: &OutgoingEvent, _: Duration) -> Option<PendingReply> {
        let replies = (*lock(&self.replies_with))?;
        self.push(event);
        let raw =
            |text: &&str| serde_json::value::RawValue::from_string((*text).to_owned()).unwrap();
        let reply = replies.iter().map(raw).collect();
        Some(Box::pin(async move { Some(Ok(reply)) }))
    }

    fn is_behind(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    fn drained(&self) -> Drained {
        let reads = self.reads.clone();
        Box::pin(async move { reads.notified().await })
    }

    fn close(&self, why: CloseReason) {
        *lock(&self.closed) = Some(why);
    }
}

impl RecordingClient {
    pub(in crate::hub) fn received(&self) -> Vec<String> {
        lock(&self.received).clone()
    }

    /// Waits until its connection is closed.
    pub(in crate::hub) async fn is_closed(&self, why: CloseReason) {
        let closed = tokio::time::timeout(Duration::from_secs(10), async {
            while lock(&self.closed).is_none() {
                tokio::task::yield_now().await;
            }
        });
        closed.await.expect("the connection is closed in time");
        assert_eq!(*lock(&self.closed), Some(why));
    }

    /// Waits until it has received all of this, and nothing else.
    pub(in crate::hub) async fn receives(&self, expected: &[&str]) {
        let waited = tokio::time::timeout(Duration::from_secs(10), async {
            while self.received() != expected {
                tokio::task::yield_now().await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "{:?} instead of {expected:?}",
            self.received()
        );
    }
}

pub(in crate::hub) fn hub() -> Hub {
    hub_with_memory(memory::MemoryConfig::default())
}

pub(in crate::hub) fn hub_with_memory(config: memory::MemoryConfig) -> Hub {
    let (backend, deliveries) = memory::open(config);
    hub_with_backend(backend, deliveries, LimitSettings::default())
}

pub(in crate::hub) fn hub_with_backend(
    backend: Backend,
    deliveries: Deliveries,
    limits: LimitSettings,
) -> Hub {
    let settings = HubSettings {
        limits,
        pages: PageLimits {
            messages: 100,
            bytes: 1 << 20,
        },
        recovery: RecoverySettings::default(),
        presence: PresenceSettings::default(),
        typing: TypingSettings::default(),
        grace: Duration::from_secs(25),
        node: NodeInfo::started_now("node".into(), "127.0.0.1:3000".into(), "memory".into()),
        hooks: Arc::default(),
        answer_window: Duration::from_secs(60),
        documents: DocumentSettings::default(),
        policies: CurrentPolicies::default(),
    };
    let authority = Authority::new(AuthorityConfig::default()).unwrap();
    let hub = Hub::new(backend, authority, settings, Arc::default());
    tokio::spawn(hub.clone().deliver_all(deliveries));
    hub
}

pub(in crate::hub) async fn prepare(
    hub: &Hub,
    user: &str,
    resume: ResumeRequest,
) -> PreparedConnection {
    let principal = hub.authority().open_principal(Some(user)).unwrap();
    let prepared = hub
        .prepare_connection(Namespace::root(), principal, resume, ClientFacts::default())
        .await;
    prepared.unwrap()
}

pub(in crate::hub) async fn connect(
    hub: &Hub,
    prepared: PreparedConnection,
) -> (Arc<Connection>, Arc<RecordingClient>) {
    let client = Arc::<RecordingClient>::default();
    let greeting = |it: &Connection| it.push(&OutgoingEvent::notice("session", &()));
    let connection = hub.connect(prepared, client.clone(), greeting).await;
    (connection, client)
}

/// A new connection that is in some rooms.
pub(in crate::hub) async fn member(
    hub: &Hub,
    user: &str,
    rooms: &[&str],
) -> (Arc<Connection>, Arc<RecordingClient>) {
    let (connection, client) =
        connect(hub, prepare(hub, user, ResumeRequest::NewSession).await).await;
    for room in rooms {
        join(hub, &connection, room).await;
    }
    (connection, client)
}

pub(in crate::hub) async fn join(hub: &Hub, connection: &Arc<Connection>, room: &str) {
    let request = Join {
        room: RoomName::parse(room).unwrap(),
        replay: Replay::Nothing,
    };
    let joined = hub.join(connection, request).await.unwrap();
    hub.go_live(&joined);
}

pub(in crate::hub) async fn publish(hub: &Hub, room: &str, number: u32) {
    let message = Publish::new(RoomName::parse(room).unwrap(), "message", &number).unwrap();
    let sent = hub.publish_as(&Namespace::root(), message, None).await;
    sent.unwrap().settled().await.unwrap();
    hub.backend().bus.flush().await;
}

pub(in crate::hub) fn resume_of(
    connection: &Connection,
    client: &RecordingClient,
) -> ResumeRequest {
    ResumeRequest::Session {
        pid: connection.pid().unwrap(),
        offset: *lock(&client.offset),
    }
}

pub(in crate::hub) fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

pub(in crate::hub) fn name(room: &str) -> RoomName {
    RoomName::parse(room).unwrap()
}

pub(in crate::hub) fn key(room: &str) -> RoomKey {
    RoomKey {
        namespace: Namespace::root(),
        room: name(room),
    }
}
