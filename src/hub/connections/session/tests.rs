//! Resuming sessions: over the whole hub and the log in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::{
    auth::Grants,
    backend::{Retention, RetentionPolicy, memory},
    error::Limit,
    hooks::ClientFacts,
    hub::testing::{
        connect, hub, hub_with_backend, hub_with_memory, join, member, prepare, publish, resume_of,
    },
    hub::{CloseReason, LimitSettings, ResumeRequest},
    model::{Namespace, Offset, Pid, RoomName, UserId},
    sync::lock,
};

mod life;
mod order;
mod resuming;

#[tokio::test]
async fn a_client_that_comes_back_is_given_what_it_missed_of_all_rooms_once_and_in_order() {
    let hub = hub();
    let (alice, before) = member(&hub, "alice", &["a", "b"]).await;
    publish(&hub, "a", 1).await;
    before.receives(&["session", "a 1"]).await;
    hub.disconnect(&alice);
    for (room, number) in [
        ("b", 2),
        ("user:alice", 3),
        ("a", 4),
        ("elsewhere", 5),
        ("b", 6),
    ] {
        publish(&hub, room, number).await;
    }
    let prepared = prepare(&hub, "alice", resume_of(&alice, &before)).await;
    assert_eq!(prepared.pid(), alice.pid());
    let (again, after) = connect(&hub, prepared).await;
    assert_eq!(again.id(), alice.id());
    publish(&hub, "a", 7).await;
    let missed = ["session", "b 2", "user:alice 3", "a 4", "b 6", "a 7"];
    after.receives(&missed).await;
}

#[tokio::test]
async fn a_client_that_had_received_nothing_is_given_all_since_it_joined() {
    let hub = hub();
    publish(&hub, "a", 1).await;
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    publish(&hub, "a", 2).await;
    let named = ResumeRequest::Session {
        pid: alice.pid().unwrap(),
        offset: None,
    };
    let (_, client) = connect(&hub, prepare(&hub, "alice", named).await).await;
    client.receives(&["session", "a 2"]).await;
}

#[tokio::test]
async fn a_connection_not_yet_noticed_dead_is_taken_over_and_nobody_is_told() {
    let hub = hub();
    let (_, bob) = member(&hub, "bob", &["a"]).await;
    let (alice, dead) = member(&hub, "alice", &["a"]).await;
    bob.receives(&["session", "presence"]).await;
    let (again, client) =
        connect(&hub, prepare(&hub, "alice", resume_of(&alice, &dead)).await).await;
    assert_eq!(*lock(&dead.closed), Some(CloseReason::Replaced));
    // The dead connection's own end comes late and changes nothing.
    hub.disconnect(&alice);
    publish(&hub, "a", 1).await;
    client.receives(&["session", "a 1"]).await;
    bob.receives(&["session", "presence", "a 1"]).await;
    dead.receives(&["session"]).await;
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
    let limits = LimitSettings {
        connections_per_user: 1,
        ..LimitSettings::default()
    };
    let hub = hub_with_backend(backend, deliveries, limits);
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    let another = |resume| {
        let principal = hub.authority().open_principal(Some("alice")).unwrap();
        hub.prepare_connection(Namespace::root(), principal, resume, ClientFacts::default())
    };
    let named = resume_of(&alice, &client);
    let prepared = another(named).await.unwrap();
    assert_eq!(prepared.pid(), alice.pid());
    let error = another(ResumeRequest::NewSession).await.unwrap_err();
    assert_eq!(error.limit(), Some(Limit::ConnectionsPerUser));
    let (again, _) = connect(&hub, prepared).await;
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
    publish(&hub, "a", 1).await;
    publish(&hub, "b", 2).await;
    let (again, after) = connect(
        &hub,
        prepare(&hub, "alice", resume_of(&alice, &client)).await,
    )
    .await;
    after.receives(&["session", "b 2"]).await;
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
        let named = resume_of(&alice, &client);
        let prepared = hub
            .prepare_connection(Namespace::root(), principal, named, ClientFacts::default())
            .await;
        let prepared = prepared.unwrap();
        assert_eq!(prepared.pid(), alice.pid());
        let (again, after) = connect(&hub, prepared).await;
        publish(&hub, "a", 1).await;
        publish(&hub, "b", 2).await;
        after.receives(&["session", "kicked", "b 2"]).await;
        hub.disconnect(&again);
    }
}

#[tokio::test]
async fn a_member_that_joins_again_while_it_is_behind_misses_nothing() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    client.slow.store(true, Ordering::Relaxed);
    publish(&hub, "a", 1).await;
    publish(&hub, "b", 2).await;
    let (joining, joined) = (hub.clone(), alice.clone());
    let joined = tokio::spawn(async move { join(&joining, &joined, "a").await });
    client.slow.store(false, Ordering::Relaxed);
    client.reads.notify_one();
    joined.await.unwrap();
    publish(&hub, "a", 3).await;
    client.receives(&["session", "a 1", "b 2", "a 3"]).await;
}

#[tokio::test]
async fn a_client_that_is_always_behind_can_join() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    client.slow.store(true, Ordering::Relaxed);
    publish(&hub, "a", 0).await;
    let (joining, joined) = (hub.clone(), alice.clone());
    let joined = tokio::spawn(async move { join(&joining, &joined, "b").await });
    // More than is held while it catches up: it will be behind again.
    for number in 1..=1100 {
        publish(&hub, "a", number).await;
    }
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !client.received().contains(&"a 0".to_owned()) {
            client.reads.notify_one();
            tokio::task::yield_now().await;
        }
        joined.await.unwrap();
    });
    assert!(waited.await.is_ok());
    assert!(client.received().len() < 10, "{:?}", client.received());
}

#[tokio::test]
async fn a_session_that_is_somebody_elses_or_was_never_given_is_not_resumed() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    let named = resume_of(&alice, &client);
    assert_ne!(prepare(&hub, "mallory", named).await.pid(), alice.pid());
    let unknown = ResumeRequest::Session {
        pid: Pid::generate(),
        offset: None,
    };
    let (other, _) = connect(&hub, prepare(&hub, "alice", unknown).await).await;
    assert_ne!(Some(other.id()), Some(alice.id()));
    let page = hub.metrics().render();
    for reason in ["other_user", "unknown_session"] {
        let line = format!("switchboard_recoveries_refused_total{{reason=\"{reason}\"}} 1\n");
        assert!(page.contains(&line), "{page}");
    }
    // The owner can still come back.
    assert_eq!(prepare(&hub, "alice", named).await.pid(), alice.pid());
}

#[tokio::test]
async fn an_offset_that_was_never_given_is_not_resumed_from() {
    let hub = hub();
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    let named = ResumeRequest::Session {
        pid: alice.pid().unwrap(),
        offset: Some(Offset(7)),
    };
    assert_ne!(prepare(&hub, "alice", named).await.pid(), alice.pid());
}

#[tokio::test]
async fn of_two_clients_that_name_a_session_at_once_the_second_waits_for_the_first_and_gets_it_then()
 {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    let named = resume_of(&alice, &client);
    let first = prepare(&hub, "alice", named).await;
    let mut second = std::pin::pin!(prepare(&hub, "alice", named));
    assert!(futures_util::poll!(&mut second).is_pending());
    // It goes away again.
    drop(first);
    let second = second.await;
    let mut third = std::pin::pin!(prepare(&hub, "alice", named));
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
    let hub = hub_with_memory(memory::MemoryConfig {
        retention: Retention {
            default: keep,
            ..Retention::default()
        },
        ..memory::MemoryConfig::default()
    });
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    publish(&hub, "a", 1).await;
    publish(&hub, "a", 2).await;
    let prepared = prepare(&hub, "alice", resume_of(&alice, &client)).await;
    assert_ne!(prepared.pid(), alice.pid());
    let (_, fresh) = connect(&hub, prepared).await;
    fresh.receives(&["session"]).await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_given_all_when_it_reads_again() {
    let hub = hub();
    let (_alice, client) = member(&hub, "alice", &["a", "b"]).await;
    publish(&hub, "a", 1).await;
    client.slow.store(true, Ordering::Relaxed);
    for number in 2..=4 {
        publish(&hub, "a", number).await;
        publish(&hub, "b", number).await;
    }
    client.receives(&["session", "a 1"]).await;
    client.slow.store(false, Ordering::Relaxed);
    client.reads.notify_one();
    let all = ["session", "a 1", "a 2", "b 2", "a 3", "b 3", "a 4", "b 4"];
    client.receives(&all).await;
    publish(&hub, "b", 5).await;
    assert_eq!(client.received().last().unwrap(), "b 5");
}

#[tokio::test]
async fn a_new_session_is_stored_with_its_first_join() {
    let hub = hub();
    let (alice, _) = member(&hub, "alice", &[]).await;
    let pid = alice.pid().unwrap();
    let stored = || hub.backend().sessions.find(pid);
    assert_eq!(stored().await.unwrap(), None);
    join(&hub, &alice, "a").await;
    let rooms = stored().await.unwrap().unwrap().rooms;
    let rooms: Vec<_> = rooms.iter().map(|(room, _)| room.as_str()).collect();
    assert_eq!(rooms, ["user:alice", "a"]);
    assert!(hub.sessions().unsaved().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_session_that_joins_nothing_is_stored_soon_and_one_that_has_ended_for_good_is_not() {
    let hub = hub();
    let saving = hub.clone();
    tokio::spawn(async move { saving.save_new_sessions().await });
    let (alice, _) = member(&hub, "alice", &[]).await;
    let (bob, _) = member(&hub, "bob", &[]).await;
    bob.close(CloseReason::Removed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stored = async |pid| hub.backend().sessions.find(pid).await.unwrap().is_some();
    assert!(stored(alice.pid().unwrap()).await);
    assert!(!stored(bob.pid().unwrap()).await);
    // Not only the first ones.
    let (carol, _) = member(&hub, "carol", &[]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stored(carol.pid().unwrap()).await);
}

#[tokio::test]
async fn a_client_that_comes_back_at_once_resumes_a_session_that_was_not_stored_yet() {
    let hub = hub();
    let (alice, dead) = member(&hub, "alice", &[]).await;
    publish(&hub, "user:alice", 1).await;
    dead.receives(&["session", "user:alice 1"]).await;
    let prepared = prepare(&hub, "alice", resume_of(&alice, &dead)).await;
    assert_eq!(prepared.pid(), alice.pid());
    let (again, client) = connect(&hub, prepared).await;
    assert_eq!(again.id(), alice.id());
    publish(&hub, "user:alice", 2).await;
    client.receives(&["session", "user:alice 2"]).await;
}
