//! Coming back: over the whole hub and the log in memory, with clients that keep what they are given.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::*;
use crate::{
    auth::{Authority, AuthorityConfig, Grants},
    backend::{Backend, Deliveries, PageSize, Retention, RetentionPolicy, memory},
    error::Limit,
    hub::{
        Event, HubSettings, Join, PageLimits, Publish, RecoverySettings, Replay,
        connections::{Drained, PendingReply},
        lock,
    },
    model::{RoomKey, UserId},
};

mod life;
mod nodes;
mod order;
mod peers;
mod removal;
mod resuming;
mod streams;

/// One client's end.
#[derive(Default)]
struct Client {
    /// Rooms and offsets of messages, and the names of everything else.
    given: Mutex<Vec<String>>,
    offset: Mutex<Option<Offset>>,
    closed: Mutex<Option<CloseReason>>,
    slow: AtomicBool,
    reads: Arc<Notify>,
    /// What it answers when it is asked, in JSON.
    says: Mutex<Option<&'static [&'static str]>>,
}

impl EventSink for Client {
    fn push(&self, event: &Outgoing) {
        let text = match event.event() {
            Event::Message(message) => {
                *lock(&self.offset) = Some(message.offset);
                format!("{} {}", message.room.room, message.data.get())
            }
            _ => event.arguments().name.to_string(),
        };
        lock(&self.given).push(text);
    }

    fn push_with_reply(&self, event: &Outgoing, _: Duration) -> Option<PendingReply> {
        let says = (*lock(&self.says))?;
        self.push(event);
        let raw =
            |text: &&str| serde_json::value::RawValue::from_string((*text).to_owned()).unwrap();
        let answer = says.iter().map(raw).collect();
        Some(Box::pin(async move { Some(Ok(answer)) }))
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

impl Client {
    fn given(&self) -> Vec<String> {
        lock(&self.given).clone()
    }

    /// Waits until its connection is closed.
    async fn is_closed(&self, why: CloseReason) {
        let closed = tokio::time::timeout(Duration::from_secs(10), async {
            while lock(&self.closed).is_none() {
                tokio::task::yield_now().await;
            }
        });
        closed.await.expect("it is closed");
        assert_eq!(*lock(&self.closed), Some(why));
    }

    /// Waits until it has been given all of this, and nothing else.
    async fn is_given(&self, expected: &[&str]) {
        let waited = tokio::time::timeout(Duration::from_secs(10), async {
            while self.given() != expected {
                tokio::task::yield_now().await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "{:?} instead of {expected:?}",
            self.given()
        );
    }
}

fn hub() -> Hub {
    hub_with(memory::MemoryConfig::default())
}

fn hub_with(config: memory::MemoryConfig) -> Hub {
    let (backend, deliveries) = memory::open(config);
    hub_over(backend, deliveries, crate::hub::LimitSettings::default())
}

fn hub_over(backend: Backend, deliveries: Deliveries, limits: crate::hub::LimitSettings) -> Hub {
    let settings = HubSettings {
        limits,
        pages: PageLimits {
            messages: 100,
            bytes: 1 << 20,
        },
        recovery: RecoverySettings::default(),
        presence: crate::hub::PresenceSettings::default(),
        typing: crate::hub::TypingSettings::default(),
        grace: Duration::from_secs(25),
    };
    let authority = Authority::new(AuthorityConfig::default()).unwrap();
    let hub = Hub::new(backend, authority, settings, Arc::default());
    tokio::spawn(hub.clone().deliver_all(deliveries));
    hub
}

async fn arrive(hub: &Hub, user: &str, resume: ResumeRequest) -> PreparedConnection {
    let principal = hub.authority().open_principal(Some(user)).unwrap();
    let arrived = hub
        .prepare_connection(Namespace::root(), principal, resume)
        .await;
    arrived.unwrap()
}

async fn connect(hub: &Hub, arrived: PreparedConnection) -> (Arc<Connection>, Arc<Client>) {
    let client = Arc::<Client>::default();
    let greeting = |it: &Connection| it.push(&Outgoing::notice("session", &()));
    let connection = hub.connect(arrived, client.clone(), greeting).await;
    (connection, client)
}

/// A new connection that is in some rooms.
async fn member(hub: &Hub, user: &str, rooms: &[&str]) -> (Arc<Connection>, Arc<Client>) {
    let (connection, client) =
        connect(hub, arrive(hub, user, ResumeRequest::NewSession).await).await;
    for room in rooms {
        join(hub, &connection, room).await;
    }
    (connection, client)
}

async fn join(hub: &Hub, connection: &Arc<Connection>, room: &str) {
    let request = Join {
        room: RoomName::parse(room).unwrap(),
        replay: Replay::Nothing,
    };
    let joined = hub.join(connection, request).await.unwrap();
    hub.go_live(&joined);
}

async fn say(hub: &Hub, room: &str, number: u32) {
    let message = Publish::new(RoomName::parse(room).unwrap(), "message", &number).unwrap();
    let sent = hub.publish_as(&Namespace::root(), message, None).await;
    sent.unwrap().settled().await.unwrap();
    hub.backend().bus.flush().await;
}

fn back(connection: &Connection, client: &Client) -> ResumeRequest {
    ResumeRequest::Session {
        pid: connection.pid().unwrap(),
        offset: *lock(&client.offset),
    }
}

#[tokio::test]
async fn a_client_that_comes_back_is_given_what_it_missed_of_all_rooms_once_and_in_order() {
    let hub = hub();
    let (alice, before) = member(&hub, "alice", &["a", "b"]).await;
    say(&hub, "a", 1).await;
    before.is_given(&["session", "a 1"]).await;
    hub.disconnect(&alice);
    for (room, number) in [
        ("b", 2),
        ("user:alice", 3),
        ("a", 4),
        ("elsewhere", 5),
        ("b", 6),
    ] {
        say(&hub, room, number).await;
    }
    let arrived = arrive(&hub, "alice", back(&alice, &before)).await;
    assert_eq!(arrived.pid(), alice.pid());
    let (again, after) = connect(&hub, arrived).await;
    assert_eq!(again.id(), alice.id());
    say(&hub, "a", 7).await;
    let missed = ["session", "b 2", "user:alice 3", "a 4", "b 6", "a 7"];
    after.is_given(&missed).await;
}

#[tokio::test]
async fn a_client_that_had_received_nothing_is_given_all_since_it_joined() {
    let hub = hub();
    say(&hub, "a", 1).await;
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    say(&hub, "a", 2).await;
    let named = ResumeRequest::Session {
        pid: alice.pid().unwrap(),
        offset: None,
    };
    let (_, client) = connect(&hub, arrive(&hub, "alice", named).await).await;
    client.is_given(&["session", "a 2"]).await;
}

#[tokio::test]
async fn a_connection_not_yet_noticed_dead_is_taken_over_and_nobody_is_told() {
    let hub = hub();
    let (_, bob) = member(&hub, "bob", &["a"]).await;
    let (alice, dead) = member(&hub, "alice", &["a"]).await;
    bob.is_given(&["session", "presence"]).await;
    let (again, client) = connect(&hub, arrive(&hub, "alice", back(&alice, &dead)).await).await;
    assert_eq!(*lock(&dead.closed), Some(CloseReason::Replaced));
    // The dead connection's own end comes late and changes nothing.
    hub.disconnect(&alice);
    say(&hub, "a", 1).await;
    client.is_given(&["session", "a 1"]).await;
    bob.is_given(&["session", "presence", "a 1"]).await;
    dead.is_given(&["session"]).await;
    assert_eq!(
        hub.user(&again.principal().user).await.unwrap().connections,
        1
    );
    assert_eq!(hub.connections().len(), 2);
    assert_eq!(hub.metrics().connections.get(), 2);
    hub.disconnect(&again);
    assert!(
        !hub.user(&UserId::parse("alice").unwrap())
            .await
            .unwrap()
            .online
    );
    assert_eq!(hub.metrics().connections.get(), 1);
}

#[tokio::test]
async fn a_user_with_all_the_connections_it_may_have_takes_its_own_over_and_gets_no_other() {
    let (backend, deliveries) = memory::open(memory::MemoryConfig::default());
    let limits = crate::hub::LimitSettings {
        connections_per_user: 1,
        ..crate::hub::LimitSettings::default()
    };
    let hub = hub_over(backend, deliveries, limits);
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    let another = |resume| {
        let principal = hub.authority().open_principal(Some("alice")).unwrap();
        hub.prepare_connection(Namespace::root(), principal, resume)
    };
    let named = back(&alice, &client);
    let arrived = another(named).await.unwrap();
    assert_eq!(arrived.pid(), alice.pid());
    let error = another(ResumeRequest::NewSession).await.unwrap_err();
    assert_eq!(error.limit(), Some(Limit::ConnectionsPerUser));
    let (again, _) = connect(&hub, arrived).await;
    drop(alice);
    assert!(another(ResumeRequest::NewSession).await.is_err());
    hub.disconnect(&again);
    drop(again);
    // What it has missed is looked for by a task of its own.
    let free = tokio::time::timeout(Duration::from_secs(10), async {
        while another(ResumeRequest::NewSession).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    assert!(free.await.is_ok());
}

#[tokio::test]
async fn a_room_that_was_left_is_not_given_again() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    hub.leave(&alice, &RoomName::parse("a").unwrap())
        .await
        .unwrap();
    hub.disconnect(&alice);
    say(&hub, "a", 1).await;
    say(&hub, "b", 2).await;
    let (again, after) = connect(&hub, arrive(&hub, "alice", back(&alice, &client)).await).await;
    after.is_given(&["session", "b 2"]).await;
    assert!(!again.is_in(&RoomName::parse("a").unwrap()));
}

#[tokio::test]
async fn rooms_that_a_client_may_not_be_in_any_more_are_left_when_it_comes_back() {
    let hub = hub();
    for noticed_dead in [true, false] {
        let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
        if noticed_dead {
            hub.disconnect(&alice);
        }
        let mut principal = hub.authority().open_principal(Some("alice")).unwrap();
        principal.grants = Arc::new(Grants::parse("b=join").unwrap());
        let named = back(&alice, &client);
        let arrived = hub
            .prepare_connection(Namespace::root(), principal, named)
            .await;
        let arrived = arrived.unwrap();
        assert_eq!(arrived.pid(), alice.pid());
        let (again, after) = connect(&hub, arrived).await;
        say(&hub, "a", 1).await;
        say(&hub, "b", 2).await;
        after.is_given(&["session", "kicked", "b 2"]).await;
        hub.disconnect(&again);
    }
}

#[tokio::test]
async fn a_member_that_joins_again_while_it_is_behind_misses_nothing() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    client.slow.store(true, Ordering::Relaxed);
    say(&hub, "a", 1).await;
    say(&hub, "b", 2).await;
    let (joining, joined) = (hub.clone(), alice.clone());
    let joined = tokio::spawn(async move { join(&joining, &joined, "a").await });
    client.slow.store(false, Ordering::Relaxed);
    client.reads.notify_one();
    joined.await.unwrap();
    say(&hub, "a", 3).await;
    client.is_given(&["session", "a 1", "b 2", "a 3"]).await;
}

#[tokio::test]
async fn a_client_that_is_always_behind_can_join() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    client.slow.store(true, Ordering::Relaxed);
    say(&hub, "a", 0).await;
    let (joining, joined) = (hub.clone(), alice.clone());
    let joined = tokio::spawn(async move { join(&joining, &joined, "b").await });
    // More than is held while it catches up: it will be behind again.
    for number in 1..=1100 {
        say(&hub, "a", number).await;
    }
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !client.given().contains(&"a 0".to_owned()) {
            client.reads.notify_one();
            tokio::task::yield_now().await;
        }
        joined.await.unwrap();
    });
    assert!(waited.await.is_ok());
    assert!(client.given().len() < 10, "{:?}", client.given());
}

#[tokio::test]
async fn a_session_that_is_somebody_elses_or_was_never_given_is_not_resumed() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    let named = back(&alice, &client);
    assert_ne!(arrive(&hub, "mallory", named).await.pid(), alice.pid());
    let unknown = ResumeRequest::Session {
        pid: Pid::generate(),
        offset: None,
    };
    let (other, _) = connect(&hub, arrive(&hub, "alice", unknown).await).await;
    assert_ne!(Some(other.id()), Some(alice.id()));
    let page = hub.metrics().render();
    for reason in ["other_user", "unknown_session"] {
        let line = format!("switchboard_recoveries_refused_total{{reason=\"{reason}\"}} 1\n");
        assert!(page.contains(&line), "{page}");
    }
    // The owner can still come back.
    assert_eq!(arrive(&hub, "alice", named).await.pid(), alice.pid());
}

#[tokio::test]
async fn an_offset_that_was_never_given_is_not_resumed_from() {
    let hub = hub();
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    let named = ResumeRequest::Session {
        pid: alice.pid().unwrap(),
        offset: Some(Offset(7)),
    };
    assert_ne!(arrive(&hub, "alice", named).await.pid(), alice.pid());
}

#[tokio::test]
async fn of_two_clients_that_name_a_session_at_once_the_second_waits_for_the_first_and_gets_it_then()
 {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    let named = back(&alice, &client);
    let first = arrive(&hub, "alice", named).await;
    let mut second = std::pin::pin!(arrive(&hub, "alice", named));
    assert!(futures_util::poll!(&mut second).is_pending());
    // It goes away again.
    drop(first);
    let second = second.await;
    let mut third = std::pin::pin!(arrive(&hub, "alice", named));
    assert!(futures_util::poll!(&mut third).is_pending());
    let (first, _) = connect(&hub, second).await;
    let (second, _) = connect(&hub, third.await).await;
    assert_eq!([first.pid(), second.pid()], [alice.pid(); 2]);
    assert_eq!(hub.connections().len(), 1, "the first was taken over");
}

#[tokio::test]
async fn a_session_of_which_something_is_not_kept_any_more_is_not_resumed() {
    let keep = RetentionPolicy {
        messages: 1,
        age: Duration::from_secs(60),
    };
    let hub = hub_with(memory::MemoryConfig {
        retention: Retention {
            default: keep,
            ..Retention::default()
        },
        ..memory::MemoryConfig::default()
    });
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    say(&hub, "a", 1).await;
    say(&hub, "a", 2).await;
    let arrived = arrive(&hub, "alice", back(&alice, &client)).await;
    assert_ne!(arrived.pid(), alice.pid());
    let (_, fresh) = connect(&hub, arrived).await;
    fresh.is_given(&["session"]).await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_given_all_when_it_reads_again() {
    let hub = hub();
    let (_alice, client) = member(&hub, "alice", &["a", "b"]).await;
    say(&hub, "a", 1).await;
    client.slow.store(true, Ordering::Relaxed);
    for number in 2..=4 {
        say(&hub, "a", number).await;
        say(&hub, "b", number).await;
    }
    client.is_given(&["session", "a 1"]).await;
    client.slow.store(false, Ordering::Relaxed);
    client.reads.notify_one();
    let all = ["session", "a 1", "a 2", "b 2", "a 3", "b 3", "a 4", "b 4"];
    client.is_given(&all).await;
    say(&hub, "b", 5).await;
    assert_eq!(client.given().last().unwrap(), "b 5");
}
